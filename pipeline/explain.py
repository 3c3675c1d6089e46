"""Apple's codes and texts: what they mean, whether trying again helps, what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    says: str
    meaning: str
    retry: bool
    remedy: str


def explain(text: str) -> tuple[Explanation, ...]:
    return ()
