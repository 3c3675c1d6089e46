"""Changes of bytes that chance chooses, for tests of what reads hostile files."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

_ODD = [bytes.fromhex(text) for text in ("ffffffff", "00000000", "7fffffff", "80000000", "3080", "00", "ff")]


@dataclass(frozen=True, slots=True)
class Change:
    """`where` is taken modulo what there is; `new` replaces as many bytes, or, with `cut`, that many are taken out."""

    where: int
    new: bytes
    cut: int = 0

    def apply(self, data: bytes) -> bytes:
        at = self.where % max(1, len(data))
        if self.cut:
            return data[:at] + data[at + self.cut :]
        return data[:at] + self.new + data[at + len(self.new) :]


def changes() -> st.SearchStrategy[list[Change]]:
    """One to five of them."""
    where = st.integers(0, 1 << 20)
    replaced = st.builds(Change, where, st.one_of(st.sampled_from(_ODD), st.binary(min_size=1, max_size=4)))
    taken_out = st.builds(Change, where, st.just(b""), st.integers(1, 50))
    return st.lists(st.one_of(replaced, replaced, replaced, taken_out), min_size=1, max_size=5)
