"""A release pipeline for macOS software: build, sign, notarize, staple, verify, on a Mac or on Linux."""
