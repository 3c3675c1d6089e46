"""One cheap call before any build: are the credentials good?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from builders.notary_desk import Desk
from builders.notary_user import REFUSED_KEYS

from pipeline.errors import CredentialsError, ServiceUnavailable
from pipeline.notary import NotaryCredentials, NotaryService, check_credentials
from pipeline.rehearsal import Answer, Endpoint


def services(desk: Desk) -> tuple[NotaryService, NotaryCredentials]:
    given = desk.rehearsal.services
    assert given.notary is not None
    assert given.credentials is not None
    return given.notary, given.credentials


def test_good_credentials_pass_with_one_request(desk: Desk) -> None:
    """The check asks for the list once, and nothing else happens."""
    desk.notarize([desk.archive()])
    requests: list[str] = []
    host = desk.host(lambda kind, subject: requests.append(f"{kind} {subject.partition(' ')[0]}"))
    assert check_credentials(host, *services(desk)) == 1
    assert requests == ["http GET"]


@pytest.mark.parametrize(("answer", "words"), REFUSED_KEYS.values(), ids=REFUSED_KEYS)
def test_each_refusal_has_its_words(desk: Desk, answer: Answer, words: str) -> None:
    """A wrong key, a missing agreement, another provider and a narrow role are told apart, and asked for once."""
    desk.levers.schedule(Endpoint.LIST, answer)
    with pytest.raises(CredentialsError) as refused:
        check_credentials(desk.host(), *services(desk))
    assert words in str(refused.value)
    assert desk.levers.seen(Endpoint.LIST) == 1


def test_a_wrong_clock_is_told(desk: Desk) -> None:
    """A clock an hour behind is the cause of a 401, and is told with its size."""
    desk.levers.clock_skew = timedelta(hours=1)
    with pytest.raises(CredentialsError, match="clock is 60 min behind"):
        check_credentials(desk.host(), *services(desk))


def test_a_key_of_another_team_is_refused(desk: Desk) -> None:
    """An issuer that the key does not belong to is refused by the service."""
    service, credentials = services(desk)
    other = replace(credentials, issuer="69a6de70-03db-47e3-e053-5b8c7c11a4d1")
    with pytest.raises(CredentialsError, match="401"):
        check_credentials(desk.host(), service, other)


def test_a_service_that_is_gone_is_no_matter_of_credentials(desk: Desk) -> None:
    """Where nobody answers the key is not blamed."""
    service, credentials = services(desk)
    with pytest.raises(ServiceUnavailable):
        check_credentials(desk.host(), replace(service, base_url="http://127.0.0.1:9/notary/v2"), credentials)
