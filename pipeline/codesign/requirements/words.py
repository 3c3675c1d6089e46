"""The words that the requirement language reserves (`RequirementKeywords.h`): to be names they must stand in quotes."""

# fmt: off
RESERVED_WORDS = frozenset({
    "guest", "host", "designated", "library", "plugin",
    "or", "and", "always", "true", "never", "false",
    "identifier", "cdhash", "platform", "notarized", "legacy",
    "anchor", "apple", "generic", "certificate", "cert", "trusted",
    "info", "entitlement", "exists", "absent", "leaf", "root", "timestamp",
})
# fmt: on
