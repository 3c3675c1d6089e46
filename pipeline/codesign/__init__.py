"""The signing engine, pure: it is given bytes and Sources, and returns what to write; no file, no clock, no network."""
