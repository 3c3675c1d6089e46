"""Fixtures: a host with doubles of Apple's tools, and executables to sign."""

from builders.apple_host import both, keys, mac, program, signed, thins, tool

__all__ = ["both", "keys", "mac", "program", "signed", "thins", "tool"]
