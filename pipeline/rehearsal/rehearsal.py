"""The rehearsal as one thing: keys, services, verdicts, for as long as a block lasts."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pipeline.codesign.certificates import Anchors
from pipeline.codesign.cms import Identity
from pipeline.host import Host
from pipeline.notary import NotaryCredentials
from pipeline.notary import NotaryService as NotaryAddresses
from pipeline.rehearsal import notary_service, ticket_service, timestamp_authority
from pipeline.rehearsal.chains import KeyedChain
from pipeline.rehearsal.inspection import Issue, Report, Roots, Severity, inspect
from pipeline.rehearsal.keys import Keys, keys_of
from pipeline.rehearsal.levers import Levers
from pipeline.rehearsal.log import write_log
from pipeline.rehearsal.notary_service import NotaryService
from pipeline.rehearsal.object_store import ObjectStore
from pipeline.rehearsal.server import LoopbackServer, Now, Service
from pipeline.rehearsal.signature_v4 import REGION
from pipeline.rehearsal.state import State, Status, Submission
from pipeline.rehearsal.ticket_service import SHA1, SHA256, TicketService, write_ticket
from pipeline.rehearsal.timestamp_authority import TimestampAuthority
from pipeline.toolchain.services import Services

_PRIVATE = 0o700


class Rehearsal:
    """Inside the block, `services` are up on 127.0.0.1, over what `folder` holds; `state` reads what happened.

    A second rehearsal over the same folder has the same keys, submissions, objects and tickets, at another port.
    """

    def __init__(self, folder: Path, host: Host, levers: Levers | None = None) -> None:
        self._folder = folder
        self._host = host
        self.levers = levers or Levers()
        self.state = State(folder, host.files)
        self._server: LoopbackServer | None = None
        self._services: Services | None = None

    @property
    def services(self) -> Services:
        assert self._services is not None, "a rehearsal serves inside its block only"
        return self._services

    def __enter__(self) -> Self:
        self._host.files.make_folder(self._folder, mode=_PRIVATE)
        self.state.sweep(self._now())
        keys = keys_of(self._folder, self._host)
        self._server = LoopbackServer(self._routes(keys), self.levers, self._now)
        self._server.__enter__()
        self._services = _services(keys, self._server.address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server, self._server, self._services = self._server, None, None
        if server is not None:
            server.__exit__(kind, error, trace)

    def _now(self) -> datetime:
        return self._host.clock.now() + self.levers.clock_skew

    def _routes(self, keys: Keys) -> dict[str, Service]:
        host, levers, chains = self._host, self.levers, keys.chains
        judge = _Judge(keys, self.state, levers, host, self._now)
        return {
            notary_service.PATH: NotaryService(keys, self.state, levers, host.entropy, self._now, judge),
            ticket_service.PATH: TicketService(chains.ticket, self.state, levers),
            timestamp_authority.PATH: TimestampAuthority(chains.timestamp, self._now, host.entropy),
            "/": ObjectStore(keys.object_store, self.state, host.files, levers, self._now),
        }


def _services(keys: Keys, address: str) -> Services:
    origin = f"http://{address}"
    chains = keys.chains
    return Services(
        identity=_identity(chains.developer_id),
        anchors=Anchors(
            roots=(chains.developer_id.chain[-1],),
            timestamp_roots=(chains.timestamp.chain[-1],),
            ticket_roots=(chains.ticket.chain[-1],),
        ),
        timestamp_url=origin + timestamp_authority.PATH,
        tickets_url=origin + ticket_service.PATH,
        notary=NotaryAddresses(
            base_url=origin + notary_service.PATH,
            object_store=f"{origin}/{{bucket}}",
            log_hosts=(address,),
            region=REGION,
        ),
        credentials=NotaryCredentials(issuer=keys.api.issuer, key_id=keys.api.key_id, private_key=keys.api.private_key),
    )


def _identity(chain: KeyedChain) -> Identity:
    key = chain.key
    assert isinstance(key, rsa.RSAPrivateKey)
    return Identity(chain=chain.chain, sign=lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


class _Judge:
    """From an uploaded object to a verdict: log and ticket first, so that a status never stands without them."""

    def __init__(self, keys: Keys, state: State, levers: Levers, host: Host, now: Now) -> None:
        self._keys = keys
        self._state = state
        self._levers = levers
        self._host = host
        self._now = now

    def __call__(self, submission: Submission) -> Submission:
        now = self._now()
        report, sha256 = self._inspect(submission, now)
        status = Status.ACCEPTED if report.is_accepted else Status.INVALID
        status = self._levers.verdict or status
        for issue in report.issues:
            place = f"{issue.path} ({issue.architecture})"
            self._host.console.detail(f"rehearsal notary: {place}: {issue.message} {issue.reason}")
        without = self._levers.log_leaves_out
        if status is Status.ACCEPTED:
            listed = [one for one in report.contents if one.cdhash.hex() not in without]
            pairs = dict.fromkeys((SHA1 if one.hash_type == SHA1 else SHA256, one.cdhash) for one in listed)
            self._state.save_ticket(submission.id, write_ticket(list(pairs), now, self._keys.chains.ticket))
        said = self._levers.log_sha256 or sha256
        log = write_log(submission, status, report, sha256=said, without=without)
        lacks = self._levers.log_lacks
        self._state.save_log(submission.id, {name: value for name, value in log.items() if name not in lacks})
        return replace(submission, status=status)

    def _inspect(self, submission: Submission, now: datetime) -> tuple[Report, str]:
        """The report, and the digest of what was uploaded: it must be the one that was submitted."""
        place = self._state.object_path(submission.bucket, submission.object)
        with place.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256 != submission.sha256:
            return Report(issues=(_other_bytes(submission, sha256),), contents=()), sha256
        chains = self._keys.chains
        roots = Roots(code=chains.developer_id.chain[-1:], timestamps=chains.timestamp.chain[-1:])
        with self._state.workspace() as scratch:
            return inspect(place, submission.name, roots, now, scratch), sha256


def _other_bytes(submission: Submission, sha256: str) -> Issue:
    return Issue(
        severity=Severity.ERROR,
        path=submission.name,
        # The real service's words for this are not public.
        message="The SHA-256 digest of the uploaded file is not the one that was submitted.",
        explanation=None,
        architecture=None,
        reason=f"uploaded {sha256}, submitted {submission.sha256}",
    )
