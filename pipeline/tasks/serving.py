"""What `rehearsal.serve` does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from pipeline.errors import Terminated
from pipeline.host import Host
from pipeline.rehearsal import Levers, Rehearsal, lever_words
from pipeline.tasks.places import OUTPUTS
from pipeline.toolchain.services import Services

_FOLDER = OUTPUTS / "rehearsal"
_LONG = timedelta(hours=1)


def serve(
    host: Host, folder: str | None, levers: Sequence[str], faults: Sequence[str], *, as_json: bool, dry: bool
) -> None:
    where = Path(folder).absolute() if folder else _FOLDER
    pulled = Levers()
    for one in levers:
        lever_words.pull(pulled, one)
    for one in faults:
        lever_words.schedule(pulled, one)
    if dry:
        host.console.say(f"would serve what {where} keeps")
        return
    with Rehearsal(where, host, pulled) as rehearsal:
        facts = _facts(rehearsal.services, where)
        host.console.say("REHEARSAL: Apple has no part in it. docs/rehearsal-services.md says how to point at it.")
        if as_json:
            host.console.document(facts)
        else:
            for name, value in facts.items():
                host.console.result(f"{name:<14}{value}")
        host.console.say("serving until interrupted")
        try:
            while True:
                host.clock.sleep(_LONG)
        except (KeyboardInterrupt, Terminated):  # how this command is meant to end
            host.console.say("ended")


def _facts(services: Services, folder: Path) -> dict[str, str]:
    """What another tool has to be told, and where the files are."""
    assert services.notary is not None
    assert services.notary.object_store is not None
    assert services.tickets_url is not None
    assert services.timestamp_url is not None
    assert services.credentials is not None
    return {
        "notary": services.notary.base_url,
        "object-store": services.notary.object_store,
        "region": services.notary.region,
        "timestamps": services.timestamp_url,
        "tickets": services.tickets_url,
        "issuer": services.credentials.issuer,
        "key-id": services.credentials.key_id,
        "key": str(folder / "keys" / "AuthKey.p8"),
        "identity": str(folder / "keys" / "developer-id.pem"),
        "anchors": str(folder / "anchors"),
    }
