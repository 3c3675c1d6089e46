"""Team keys under names: kept in the system's keyring or, on a headless host, in a file that is closed to others.

A profile is one text, in the keyring and in the file alike:

    {"issuer": "…", "key-id": "…", "private-key": "-----BEGIN PRIVATE KEY-----\\n…"}

The file holds `{"schema": 1, "profiles": {NAME: …}}`, mode 0600. A keyring cannot be listed, so the names are one more
item in it.
"""

from __future__ import annotations

import json
import re
from glob import escape
from pathlib import Path
from typing import Any

from pipeline.errors import CredentialsError
from pipeline.host import Host
from pipeline.notary.bearer import make_token
from pipeline.notary.client import NotaryClient
from pipeline.notary.service import NotaryCredentials, NotaryService
from pipeline.redact import Secret

SCHEMA = 1
_NAMES = "notary-profiles"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_ISSUER = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_KEY_ID = re.compile(r"[A-Z0-9]{8,20}", re.ASCII)


def parse_credentials(text: Secret, where: str) -> NotaryCredentials:
    """Credentials from a profile's text. Raises CredentialsError that tells the field, never its value."""
    try:
        document = json.loads(text.reveal())
    except (ValueError, RecursionError):
        raise CredentialsError("no JSON of issuer, key-id and private-key", where=where) from None
    return _credentials(document, where)


def build_credentials(credentials: NotaryCredentials) -> Secret:
    return Secret(json.dumps(_document(credentials)))


def load_credentials(host: Host, profile: str | None, file: Path | None) -> NotaryCredentials:
    """The credentials of a profile, from `file` where one is given, else from the keyring.

    A file's only profile needs no name. Raises CredentialsError where there are none, or the file is open to others.
    """
    if file is None:
        if profile is None:
            raise CredentialsError("no profile named", remedy="set [notary] profile; `invoke credentials.store NAME`")
        text = host.secrets.get(_item(profile))
        if text is None:
            raise CredentialsError(
                "nothing in the keyring under this name", where=f"profile {profile}", remedy=_store(profile)
            )
        return _registered(host, parse_credentials(text, f"profile {profile}"))
    profiles = _read(host, file)
    if profile is None and len(profiles) == 1:
        profile = next(iter(profiles))
    if profile is None or profile not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise CredentialsError(
            f"no profile {profile or 'named'}; there are: {known}", where=str(file), remedy=_store(profile or "NAME")
        )
    return _registered(host, _credentials(profiles[profile], f"{file}: {profile}"))


def store_credentials(host: Host, profile: str, credentials: NotaryCredentials, file: Path | None) -> None:
    """Keep credentials under a name, in place of what was there. Raises CredentialsError for what cannot be right."""
    host.redact.register(credentials.private_key)
    if not _NAME.fullmatch(profile):
        raise CredentialsError("a profile's name is letters, digits, dot, dash and underscore", where=profile)
    _credentials(_document(credentials), f"profile {profile}")
    make_token(credentials, host.clock.now())  # the key is read once before it is kept
    if file is None:
        host.secrets.put(_item(profile), build_credentials(credentials))
        _remember(host, {*list_profiles(host, None), profile})
    else:
        _write(host, file, {**(_read(host, file) if file.exists() else {}), profile: _document(credentials)})


def list_profiles(host: Host, file: Path | None) -> tuple[str, ...]:
    """The names, sorted."""
    if file is not None:
        return tuple(sorted(_read(host, file))) if file.exists() else ()
    kept = host.secrets.get(_NAMES)
    try:
        names = json.loads(kept.reveal()) if kept else []
    except ValueError:
        names = []
    return tuple(sorted(name for name in names if isinstance(name, str)))


def delete_credentials(host: Host, profile: str, file: Path | None) -> None:
    """Forget a profile. Raises CredentialsError if there is none of that name."""
    if file is None:
        host.secrets.delete(_item(profile))
        _remember(host, {*list_profiles(host, None)} - {profile})
        return
    profiles = _read(host, file)
    if profile not in profiles:
        raise CredentialsError("no profile of this name", where=f"{file}: {profile}")
    _write(host, file, {name: one for name, one in profiles.items() if name != profile})


def kept_in(file: Path | None) -> str:
    """In words, where profiles are kept: that it is a file and no keyring is never left unsaid."""
    return f"the file {file} (instead of a keyring)" if file else "the system's keyring"


def check_credentials(host: Host, service: NotaryService, credentials: NotaryCredentials) -> int:
    """One cheap authenticated call, the list; how many submissions it shows.

    Raises CredentialsError that tells a refused key, a missing agreement, a narrow role and a wrong clock apart,
    ServiceUnavailable where the service cannot be reached.
    """
    return len(NotaryClient(host, service, credentials).submissions())


def _credentials(document: Any, where: str) -> NotaryCredentials:
    fields = {"issuer": _ISSUER, "key-id": _KEY_ID, "private-key": re.compile(r"-----BEGIN [\s\S]+")}
    for name, pattern in fields.items():
        value = document.get(name) if isinstance(document, dict) else None
        if not isinstance(value, str) or not pattern.fullmatch(value.strip()):
            raise CredentialsError(
                f"{name} is missing, or cannot be one",
                where=where,
                remedy="issuer and key id stand in App Store Connect, Users and Access, Integrations; "
                "private-key is the text of the .p8 file",
            )
    return NotaryCredentials(
        issuer=document["issuer"].strip(),
        key_id=document["key-id"].strip(),
        private_key=Secret(document["private-key"].strip() + "\n"),
    )


def _document(credentials: NotaryCredentials) -> dict[str, str]:
    return {
        "issuer": credentials.issuer,
        "key-id": credentials.key_id,
        "private-key": credentials.private_key.reveal(),
    }


def _registered(host: Host, credentials: NotaryCredentials) -> NotaryCredentials:
    host.redact.register(credentials.private_key)
    return credentials


def _read(host: Host, file: Path) -> dict[str, Any]:
    try:
        document = json.loads(host.secrets.read_file(file).reveal())
        if document["schema"] != SCHEMA or not isinstance(document["profiles"], dict):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CredentialsError(
            "not a file of profiles", where=str(file), remedy="`invoke credentials.store NAME` writes one"
        ) from None
    profiles: dict[str, Any] = document["profiles"]
    return profiles


def _write(host: Host, file: Path, profiles: dict[str, Any]) -> None:
    data = json.dumps({"schema": SCHEMA, "profiles": profiles}, indent=2) + "\n"
    host.files.write(file, data.encode(), mode=0o600)
    # A kill in the middle of an earlier write left the file that was to become this one, keys and all.
    for leftover in file.parent.glob(f".{escape(file.name)}.*.new"):
        host.files.remove(leftover)


def _remember(host: Host, names: set[str]) -> None:
    host.secrets.put(_NAMES, Secret(json.dumps(sorted(names))))


def _item(profile: str) -> str:
    return f"notary:{profile}"


def _store(profile: str) -> str:
    return f"`invoke credentials.store {profile}` keeps issuer, key id and .p8"
