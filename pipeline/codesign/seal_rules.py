"""Resource rules: which entries of a bundle its seal names, and how. Tables and choice are codesign's.

A rule is a pattern and what it says of the paths it matches; the heaviest rule wins, an exclusion wins over all
(Security `resources.cpp`, tables in `bundlediskrep.cpp`). Rules stand in the seal itself, so a seal is judged by its
own; `is_weak` tells those that leave more out than macOS allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.codesign.seal_patterns import PatternSet
from pipeline.errors import MalformedFile

RuleTable = Mapping[str, Any]
"""Pattern → true, false, or a dictionary of weight, omit, optional, nested: as in the property list."""

_NESTED_PLACES = (
    "^(Frameworks|SharedFrameworks|PlugIns|Plug-ins|XPCServices|Helpers|MacOS"
    "|Library/(Automator|Spotlight|LoginItems))/"
)
_MOST_RULES = 200
_LARGEST_WEIGHT = 0xFFFFFFFF

# Never sealed, whatever the rules say: the signature itself, a stapled ticket, a receipt of the App Store.
_EXCLUDED = ("^_CodeSignature$", "^CodeResources$", "^_MASReceipt$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a seal says of the paths that a pattern matches."""

    pattern: str
    """A regular expression over the path in the folder that is sealed."""
    weight: int = 1
    """Of several that match, the heaviest counts; from 0 to 2**32 - 1."""
    omitted: bool = False
    """Is left out of the seal."""
    optional: bool = False
    """May be absent later: localizations that a user removes."""
    nested: bool = False
    """Is code with a signature of its own."""
    excluded: bool = False
    """Is left out whatever other rules say."""
    link_target: bool = False
    """May a link point there although it is not sealed? True of the main executable."""

    @property
    def sealed(self) -> bool:
        return not (self.omitted or self.excluded)


class RuleSet:
    """The rules of one table together with the exclusions that hold for every bundle.

    `main_file` is the path of the bundle's main executable, relative to the folder that the seal covers. Raises
    MalformedFile for a table that codesign would not take.
    """

    def __init__(self, table: object, *, main_file: str | None = None) -> None:
        exclusions = [Rule(pattern=pattern, excluded=True) for pattern in _EXCLUDED]
        if main_file is not None:
            exclusions.append(Rule(pattern=f"^{_escape(main_file)}$", excluded=True, link_target=True))
        # The newest exclusion is asked first, as codesign puts each before the others.
        self._rules = (*reversed(exclusions), *parse_rules(table))
        self._patterns = PatternSet([rule.pattern for rule in self._rules])
        self._chosen: dict[frozenset[int], Rule | None] = {}

    def find(self, path: str) -> Rule | None:
        """The rule that decides about a path, relative to the folder that the seal covers."""
        matching = self._patterns.matching(path)
        if matching not in self._chosen:
            self._chosen[matching] = self._choose(matching)
        return self._chosen[matching]

    def includes(self, path: str) -> bool:
        """May a link inside the bundle point to this path (Security: ResourceBuilder::includes)?"""
        first, slash, _ = path.partition("/")
        if slash and (rule := self.find(first)) and rule.excluded:
            return rule.link_target
        rule = self.find(path)
        return rule is not None and (rule.sealed or rule.link_target)

    def _choose(self, matching: frozenset[int]) -> Rule | None:
        candidates = [self._rules[number] for number in sorted(matching)]
        for rule in candidates:
            if rule.excluded:
                return rule
        # Equal weights: codesign takes whichever its dictionary yields first. In flat bundles that Xcode 8 to 10 signed
        # (whose table has "^" with the weight of Info.plist's rule) it is the one that omits; else the table's order.
        return max(candidates, key=lambda rule: (rule.weight, rule.omitted), default=None)


def default_rules(resources: str) -> tuple[RuleTable, RuleTable]:
    """The tables `rules` and `rules2` that codesign gives a bundle.

    `resources` is the folder of resources relative to the folder that the seal covers, with a slash at its end; "" for
    a flat bundle, which has none.
    """
    localized = {
        f"^{resources or '.*'}": True,
        f"^{resources}.*\\.lproj/": {"optional": True, "weight": 1000.0},
        f"^{resources}Base\\.lproj/": {"weight": 1010.0},
        f"^{resources}.*\\.lproj/locversion.plist$": {"omit": True, "weight": 1100.0},
    }
    everything: dict[str, Any] = {
        "^.*": True,
        ".*\\.dSYM($|/)": {"weight": 11.0},
        "^(.*/)?\\.DS_Store$": {"omit": True, "weight": 2000.0},
        "^Info\\.plist$": {"omit": True, "weight": 20.0},
        "^version\\.plist$": {"weight": 20.0},
        "^embedded\\.provisionprofile$": {"weight": 20.0},
        "^PkgInfo$": {"omit": True, "weight": 20.0},
    }
    if resources:
        everything["^[^/]+$"] = {"nested": True, "weight": 10.0}
        everything[_NESTED_PLACES] = {"nested": True, "weight": 10.0}
        everything[f"^{resources}"] = {"weight": 20.0}
    return {"^version.plist$": True, **localized}, {**localized, **everything}


def installer_rules(resources: str) -> RuleTable:
    """The one table of an old installer package, a bundle whose Info.plist has IFMajorVersion."""
    return {
        "^.*": True,
        f"^{resources}.*\\.lproj/": {"optional": True, "weight": 1000.0},
        "^.*/.*\\.pkg/": {"omit": True, "weight": 10000.0},
    }


def derived_rules2(rules: RuleTable) -> RuleTable:
    """`rules2` where a caller gave `rules` alone: the same, and the places of nested code below all of them."""
    return {**rules, _NESTED_PLACES: {"nested": True, "weight": 0.0}}


def is_weak(table: RuleTable, resources: str, *, version: int) -> bool:
    """Do the rules leave out more than codesign's own (what `codesign --verify --strict` refuses)?

    `version` is 2 for `rules2`, 1 for `rules` where a seal has nothing newer.
    """
    allowed = {
        "^(.*/)?\\.DS_Store$",
        "^Info\\.plist$",
        "^PkgInfo$",
        f"^{resources}.*\\.lproj/locversion.plist$",
    }
    everything = "^Resources/" if version == 1 else "^.*"
    left_out = {rule.pattern for rule in parse_rules(table) if rule.omitted}
    return table.get(everything) is not True or not left_out <= allowed


def parse_rules(table: object) -> tuple[Rule, ...]:
    """The rules of a table; MalformedFile unless it is one."""
    if not isinstance(table, Mapping) or len(table) > _MOST_RULES:
        raise MalformedFile("the seal's resource rules are no table of rules")
    return tuple(_rule(pattern, value) for pattern, value in table.items())


def _rule(pattern: object, value: object) -> Rule:
    if not isinstance(pattern, str):
        raise MalformedFile("a resource rule without a pattern")
    if isinstance(value, bool):
        return Rule(pattern=pattern, omitted=not value)
    if not isinstance(value, Mapping):
        raise MalformedFile(f"the resource rule {pattern!r} is neither a truth value nor a dictionary")
    weight = value.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= _LARGEST_WEIGHT:
        raise MalformedFile(f"the weight of the resource rule {pattern!r} is no number")
    return Rule(
        pattern=pattern,
        weight=int(weight),
        omitted=value.get("omit") is True,
        optional=value.get("optional") is True,
        nested=value.get("nested") is True,
    )


def _escape(path: str) -> str:
    return "".join(f"\\{character}" if character in "\\[]{}().+*?^$|" else character for character in path)
