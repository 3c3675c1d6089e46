"""Invoke's program with a staple stage that takes everything for something with a place for a ticket."""

from __future__ import annotations

from invoke.main import program

from pipeline.stages import staple

if __name__ == "__main__":
    vars(staple)["_has_a_place"] = lambda _artifact: True
    program.run()
