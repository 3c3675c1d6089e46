"""The Apple toolchain: codesign, lipo, ditto, notarytool, stapler, spctl, security, xattr. macOS.

`toolchain` is what the stages call. Each tool has a file that knows its argv and reads its answers; `texts` knows what
their refusals mean; `keychain` makes a keychain for CI. What the tools make is read by this project's own verifier
before anything else is done with it.
"""

from pipeline.toolchain.apple.keychain import Keychain
from pipeline.toolchain.apple.toolchain import AppleToolchain
from pipeline.toolchain.apple.tools import Tools

__all__ = ["AppleToolchain", "Keychain", "Tools"]
