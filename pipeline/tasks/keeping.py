"""What `credentials.store`, `check`, `list` and `delete` do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline import notary
from pipeline.errors import ConfigurationError
from pipeline.host import Host
from pipeline.redact import Secret
from pipeline.tasks.assembly import credentials_file

_LARGEST_KEY = 64 * 1024
_PEM = "-----BEGIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options of `credentials.store` as they were typed."""

    stdin: bool
    issuer: str | None
    key_id: str | None
    key: str | None


def store(host: Host, config: str | None, name: str, wish: Wish, *, dry: bool) -> None:
    file = credentials_file(host, config)
    credentials = _piped(host, wish) if wish.stdin else _from_a_file(host, wish)
    if dry:
        host.console.say(f"{name} would be kept in {notary.kept_in(file)}")
        return
    notary.store_credentials(host, name, credentials, file)
    host.console.say(f"{name} is kept in {notary.kept_in(file)}; next: invoke credentials.check {name}")


def check(host: Host, config: str | None, name: str, address: str | None) -> None:
    file = credentials_file(host, config)
    credentials = notary.load_credentials(host, name, file)
    host.console.say(f"{name} comes from {notary.kept_in(file)}")
    service = notary.APPLE if address is None else _service(address)
    count = notary.check_credentials(host, service, credentials)
    host.console.result(f"{name}: good: {urlsplit(service.base_url).netloc} lists {count} submissions of the team")


def show(host: Host, config: str | None, *, as_json: bool) -> None:
    file = credentials_file(host, config)
    names = notary.list_profiles(host, file)
    if as_json:
        kept = {"file": str(file) if file else None, "profiles": list(names)}
        host.console.document(kept)
        return
    host.console.say(f"{len(names) or 'nothing'} kept in {notary.kept_in(file)}")
    for name in names:
        host.console.result(name)


def delete(host: Host, config: str | None, name: str, *, dry: bool) -> None:
    file = credentials_file(host, config)
    if dry:
        host.console.say(f"{name} would be gone from {notary.kept_in(file)}")
        return
    notary.delete_credentials(host, name, file)
    host.console.say(f"{name} is gone from {notary.kept_in(file)}; to end the key itself, revoke it")


def _piped(host: Host, wish: Wish) -> notary.NotaryCredentials:
    """From standard input: JSON that says all, or the .p8 where the options say the rest."""
    text = host.secrets.read_input()
    options = [option for option in (wish.issuer, wish.key_id, wish.key) if option]
    if not text.reveal().lstrip().startswith(_PEM):
        if options:
            raise ConfigurationError("no .p8 on standard input, as the options want", remedy="JSON says all by itself")
        return notary.parse_credentials(text, "standard input")
    if not wish.issuer or not wish.key_id or wish.key:
        raise ConfigurationError("the .p8 alone on standard input", remedy="give --issuer and --key-id, and no --key")
    return notary.NotaryCredentials(issuer=wish.issuer, key_id=wish.key_id, private_key=text)


def _from_a_file(host: Host, wish: Wish) -> notary.NotaryCredentials:
    issuer = wish.issuer or _asked(host, "issuer id of the team's keys")
    key_id = wish.key_id or _asked(host, "key id")
    key = wish.key or _asked(host, "path of the .p8 file")
    if _PEM in key:
        host.redact.register(Secret(key))
        raise ConfigurationError(
            "that is a key, and the path of its file is wanted",
            remedy="what is typed here can be read by others on this machine: revoke the key, and pipe a new one to "
            "--stdin or name its file",
        )
    path = Path(key)
    if not path.is_file():
        raise ConfigurationError("no such file", where=key, remedy="it is the .p8 file from App Store Connect")
    text = host.files.read(path, limit=_LARGEST_KEY).decode("utf-8", "replace")
    return notary.NotaryCredentials(issuer=issuer, key_id=key_id, private_key=Secret(text))


def _asked(host: Host, question: str) -> str:
    answer = host.console.ask(question)
    if not answer:
        raise ConfigurationError(f"no answer to: {question}", remedy="invoke --help credentials.store has its option")
    return answer


def _service(address: str) -> notary.NotaryService:
    """Another notary: by https, or on this machine; a token never goes over a network in the clear."""
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.netloc or not (parts.scheme == "https" or local):
        raise ConfigurationError(
            f"{address} is neither https nor on this machine",
            where="--notary",
            remedy="use the one rehearsal.serve prints",
        )
    return notary.NotaryService(base_url=address.rstrip("/"), log_hosts=())
