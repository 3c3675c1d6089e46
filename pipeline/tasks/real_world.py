"""The real world: the identity that the configuration names, the notary's credentials, Apple's addresses."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pipeline import identity as identities
from pipeline import notary, tickets, timestamps
from pipeline.codesign.cms import Identity
from pipeline.errors import CredentialsError
from pipeline.host import Host
from pipeline.model import Configuration
from pipeline.tasks.identities import opened
from pipeline.toolchain.services import Services


def real_services(host: Host, configuration: Configuration) -> Services:
    """Raises CredentialsError where something is missing: a real release never turns into anything else."""
    return Services(
        identity=_identity(host, configuration),
        anchors=identities.APPLE_ANCHORS,
        timestamp_url=timestamps.APPLE_URL,
        tickets_url=tickets.APPLE_URL,
        notary=notary.APPLE,
        credentials=_credentials(host, configuration),
    )


def keychain_services(host: Host, configuration: Configuration) -> Services:
    """As `real_services`, where Apple's tools sign with a keychain's identity and ask the services themselves.

    Without credentials of ours, [notary] profile is one that notarytool keeps.
    """
    return Services(
        identity=None,
        anchors=identities.APPLE_ANCHORS,
        timestamp_url=None,
        tickets_url=tickets.APPLE_URL,
        notary=notary.APPLE,
        credentials=_credentials_if_kept(host, configuration),
    )


def _credentials_if_kept(host: Host, configuration: Configuration) -> notary.NotaryCredentials | None:
    profile = configuration.notary.profile
    if configuration.notary.credentials is None and profile is not None and profile not in _kept(host):
        return None
    return _credentials(host, configuration)


def _kept(host: Host) -> tuple[str, ...]:
    try:
        return notary.list_profiles(host, None)
    except CredentialsError:  # a headless host without a keyring
        return ()


def _identity(host: Host, configuration: Configuration) -> Identity:
    assert configuration.identity is not None, "no configuration of a real release is without it"
    path = Path(configuration.identity)
    password = partial(host.secrets.get_or_ask, f"identity:{path.name}", f"password of {path.name}")
    return opened(host, host.files.read(path), str(path), password)


def _credentials(host: Host, configuration: Configuration) -> notary.NotaryCredentials:
    options = configuration.notary
    if options.profile is None and options.credentials is None:
        raise CredentialsError(
            "no credentials for the notary", where="[notary]", remedy="set profile, or credentials on a headless host"
        )
    host.console.say(f"notary: credentials from {notary.kept_in(options.credentials)}")
    return notary.load_credentials(host, options.profile, options.credentials)
