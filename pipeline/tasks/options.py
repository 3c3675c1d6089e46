"""Help texts of options that many commands have."""

from __future__ import annotations

JSON = {"json": "print one JSON document on standard output"}
DEBUG = {"debug": "show tracebacks"}
DEBUG_TOOLS = {"debug": "show tracebacks and every command line that is run, redacted"}
