"""A secret prints nothing of itself, and what is registered leaves every text."""

from __future__ import annotations

import pytest

from pipeline.redact import Redactor, Secret


def test_a_secret_shows_nothing_of_itself() -> None:
    """Whichever way it is put into a text, only `reveal` gives it."""
    secret = Secret("hunter22")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", "%s" % secret]  # noqa: UP031
    assert "hunter" not in "".join([*shown, repr([secret]), repr({secret: secret}), repr(ValueError(secret))])
    assert secret.reveal() == "hunter22"


def test_secrets_are_equal_by_their_texts_alone() -> None:
    """Two of one text are one in a set; a text is no secret."""
    assert {Secret("hunter22"), Secret("hunter22")} == {Secret("hunter22")}
    assert Secret("hunter22") != Secret("hunter23")
    assert Secret("hunter22") != "hunter22"


@pytest.mark.parametrize(
    ("secrets", "text", "left"),
    [
        (["caf\udce9"], "a caf\udce9, a caf%E9", "a [redacted], a [redacted]"),
        (["four"], "a four b", "a [redacted] b"),
        (["one"], "nothing so short: one", "nothing so short: one"),
        (["  padded  "], "is padded or not", "is [redacted] or not"),
        (["secret", "secretive"], "secretive secret", "[redacted] [redacted]"),
        (["a.c+"], "a.c+ abcc", "[redacted] abcc"),
        (["a/b c&d"], "?x=a%2Fb%20c%26d&y", "?x=[redacted]&y"),
        (
            ["-----BEGIN X-----\nAAAA\nBBBB\n-----END X-----\n"],
            "BBBB -----BEGIN X-----",
            "[redacted] -----BEGIN X-----",
        ),
        ([], "as it is", "as it is"),
    ],
)
def test_every_form_of_a_secret_is_replaced(secrets: list[str], text: str, left: str) -> None:
    """Alone, inside a longer one, percent-encoded, a line of several; what frames a PEM is no secret."""
    redact = Redactor()
    for one in secrets:
        assert redact.register(Secret(one)).reveal() == one
    assert redact(text) == left
