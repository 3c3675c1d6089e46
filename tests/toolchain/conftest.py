"""Fixtures: a host with doubles of Apple's tools, and executables to sign."""

from builders.apple_host import keys, mac, thins, tool

__all__ = ["keys", "mac", "thins", "tool"]
