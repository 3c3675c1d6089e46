"""Fixtures: a host with doubles of Apple's tools, and executables to sign."""

from builders.apple_host import keys, mac, program, signed, thins, tool

__all__ = ["keys", "mac", "program", "signed", "thins", "tool"]
