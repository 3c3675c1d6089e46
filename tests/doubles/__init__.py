"""Doubles of Apple's tools: executables that treat their arguments as the real ones do, and do the work with ours.

They refuse what Apple's refuse and ignore what Apple's ignore, print the texts that are known from public runs, and
fail in every known way on demand (`bench`). They sign with a rehearsal's identity and talk to its services.
"""
