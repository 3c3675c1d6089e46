"""Somebody who notarizes at a rehearsal's services: one folder, one clock, and a new host for each run."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from fakes.clock import FakeClock

from builders.hosts import Terminal, host_with
from pipeline.host import Host, Observer
from pipeline.host.observer import nobody
from pipeline.notary import APPLE_POLICY, Archive, Mode, Records, Verdict, WaitPolicy, notarize
from pipeline.rehearsal import Levers, Rehearsal, Submission

WAIT = timedelta(minutes=30)


class Killed(BaseException):
    """The process is gone: nothing that runs afterwards may count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    folder: Path
    rehearsal: Rehearsal
    clock: FakeClock
    terminal: Terminal = field(default_factory=Terminal)

    @property
    def levers(self) -> Levers:
        return self.rehearsal.levers

    @property
    def records(self) -> Path:
        return self.folder / "notary"

    def host(self, observe: Observer = nobody) -> Host:
        return host_with(self.clock, self.terminal, observe)

    def archive(self, name: str = "tool-1.0.zip", content: bytes = b"hello") -> Archive:
        """A zip that holds no code, the same bytes each time; the levers say what the notary makes of it."""
        path = self.folder / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo("readme.txt"), content)
        data = path.read_bytes()
        return Archive(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data))

    def notarize(
        self,
        archives: Sequence[Archive],
        *,
        wait: timedelta = WAIT,
        mode: Mode = Mode.PARALLEL,
        policy: WaitPolicy = APPLE_POLICY,
        observe: Observer = nobody,
        part: int | None = None,
    ) -> tuple[Verdict, ...]:
        services = self.rehearsal.services
        assert services.notary is not None
        assert services.credentials is not None
        service = replace(services.notary, part=part or services.notary.part)
        return notarize(self.host(observe), service, services.credentials, archives, self.records, policy, wait, mode)

    def uploaded(self) -> list[Submission]:
        """What the services have whole, in the order of submission."""
        return [one for one in reversed(self.rehearsal.state.submissions()) if one.is_uploaded]

    def demand_once(self, *archives: Archive) -> None:
        """One uploaded submission for each archive, uploaded once; every other submission is on record as abandoned."""
        uploaded = self.uploaded()
        assert sorted(one.sha256 for one in uploaded) == sorted(archive.sha256 for archive in archives)
        assert [one.uploads for one in uploaded] == [1] * len(archives)
        records = Records(self.host(), self.records).all()
        abandoned = {left.id for record in records for left in record.abandoned}
        never = {one.id for one in self.rehearsal.state.submissions() if not one.is_uploaded}
        assert never == abandoned

    def demand_no_leave_left(self) -> None:
        """No credentials of the object store are on disk."""
        assert [path.name for path in self.records.iterdir() if ".upload" in path.name] == []


def killing(number: int) -> Observer:
    """Ends the process before its `number`-th operation; the first is 1."""
    count = 0

    def observe(_kind: str, _subject: str) -> None:
        nonlocal count
        count += 1
        if count >= number:
            raise Killed

    return observe
