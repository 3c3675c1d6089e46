"""Apple's codes and texts: public messages are recognised, and the data are whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.explain import Retry, explain, known

LOGS = sorted((Path(__file__).parent / "vectors" / "notary-logs").glob("*.json"))

# Texts as they stand in public logs, and the beginning of what each is recognised as.
SAID = {
    "-67062": "code object is not signed at all",
    "OSStatus \u221267062": "code object is not signed at all",
    "4294900234": "code object is not signed at all",
    "0xFFFEFA0A": "code object is not signed at all",
    "errSecInternalComponent": "errSecInternalComponent",
    "error: The operation couldn\u2019t be completed. (OSStatus error -2070.)": "errSecInternalComponent",
    'Warning: unable to build chain to self-signed root for signer "Developer ID"\nx: errSecInternalComponent': (
        "unable to build chain"
    ),
    "/tmp/x: resource fork, Finder information, or similar detritus not allowed": "resource fork",
    "x.app: a sealed resource is missing or invalid\nfile added: ._x": "a sealed resource",
    "A timestamp was expected but was not found.": "A timestamp was expected",
    "The timestamp service is not available.": "The timestamp service is not available",
    "X.app: rejected (the code is valid but does not seem to be an app)": "the code is valid but",
    "test-requirement: code failed to satisfy specified code requirement(s)": "code failed to satisfy",
    'Error: No Keychain password item found for profile: "x"': "No Keychain password item",
    "Error: HTTP status code: 401. Unauthenticated. Ensure that all authentication arguments are correct.": (
        "Unauthenticated"
    ),
    "Error: HTTP status code: 403. A required agreement is missing or has expired. This request requires an "
    "in-effect agreement that has not been signed or has expired.": "A required agreement",
    "Error: HTTP status code: 401. Invalid credentials. Username or password is incorrect. Use the app-specific "
    "password generated at appleid.apple.com.": "Username or password is incorrect",
    'Error: HTTPError(statusCode: nil, error: Error Domain=NSURLErrorDomain Code=-1001 "The request timed out."': (
        "NSURLErrorDomain Code=-1001"
    ),
    "Error: invalidJSONResponse(statusCode: Optional(504), data: 262 bytes)": "invalidJSONResponse",
    "Error: abortedUpload(resumeRequest: SotoS3.S3.ResumeMultipartUploadRequest(": "abortedUpload",
    'CloudKit query for X.dmg (2/12a61f4c) failed due to "Record not found".\n'
    "Could not find base64 encoded ticket in response for 2/12a61f4c": "Record not found",
    "The staple and validate action failed! Error 65.": "Record not found",
    "The staple and validate action failed! Error 73.": "Error 73",
    "stapler: exit code 66": "Stapler is incapable",
    "65": "Record not found",
    "73": "Error 73",
    "7000": "Team is not yet configured",
    "429": "Exceeded hourly limit",
    "HTTP 504": "Gateway Timeout",
    "notarytool exited with 124": "was reached before",
    "CloudKit's response is inconsistent with expections: (null)": "CloudKit's response",
    "<Error><Code>RequestTimeTooSkewed</Code></Error>": "RequestTimeTooSkewed",
    "fatal error: lipo: a and b have the same architectures (arm64) and can't be in the same fat output file": (
        "have the same architectures"
    ),
    "serverErrorCode = THROTTLED;": "THROTTLED",
    "mapping process and mapped file (non-platform) have different Team IDs": "mapping process",
}


@pytest.mark.parametrize("text", SAID, ids=lambda text: text[:40])
def test_what_apples_tools_print_is_recognised(text: str) -> None:
    """A public message is explained, and the explanation of its own words comes first."""
    assert explain(text)[0].says.startswith(SAID[text])


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_every_message_of_the_real_logs_is_known(path: Path) -> None:
    """Every issue and every summary of the 22 public notary logs has an explanation of the notary's."""
    document = json.loads(path.read_text())
    texts = [issue["message"] for issue in document.get("issues") or []]
    texts += [document["statusSummary"]] if "statusSummary" in document else []
    assert texts
    for text in texts:
        assert [found.tool for found in explain(text)][:1] == ["notary"]


@pytest.mark.parametrize(
    ("code", "retry"),
    [("-67882", Retry.HELPS), ("-67062", Retry.AFTER_REMEDY), ("429", Retry.HELPS), ("401", Retry.AFTER_REMEDY)],
)
def test_whether_a_retry_helps_is_told(code: str, retry: Retry) -> None:
    """Passing trouble and final refusals are told apart."""
    assert explain(code)[0].retry is retry


@pytest.mark.parametrize(
    "text",
    ["", "all is well", "tool-2026-10-02.zip", "version 1.65.73", "65 files", "-5", "x-67062", "12345678", "é" * 50],
)
def test_ordinary_text_is_not_explained(text: str) -> None:
    """Dates, versions and counts are not taken for codes."""
    assert explain(text) == ()


def test_a_tools_name_narrows_an_exit_code() -> None:
    """The same exit code of two tools is told for the one that is named, and for both where none is."""
    assert [found.tool for found in explain("notarytool: exit status 64")] == ["notarytool"]
    assert [found.tool for found in explain("stapler: exit status 64")] == ["stapler"]
    assert {found.tool for found in explain("exit status 64")} == {"notarytool", "stapler"}


@given(st.text(max_size=200))
def test_any_text_is_explained_or_not(text: str) -> None:
    """Whatever is pasted, the answer is a tuple of what is known."""
    assert set(explain(text)) <= set(known())


def test_a_whole_build_log_is_explained_too() -> None:
    """A text of megabytes is read as far as it can hold an answer."""
    assert explain("ditto: stdin \n" * 200_000)[0].says == "ditto: stdin"


def test_the_data_are_whole() -> None:
    """Every entry has meaning, remedy and source in words, and recognises itself first among its kind."""
    assert len(known()) > 100
    for entry in known():
        assert min(len(entry.meaning), len(entry.source)) > 5
        assert entry.remedy
        for words in entry.words:
            assert entry in explain(words.replace("*", " … "))
        for number in entry.osstatus:
            assert entry in explain(str(number))


def test_no_two_entries_say_the_same() -> None:
    """Each text stands once, and each OSStatus belongs to one entry."""
    says = [(entry.tool, entry.says) for entry in known()]
    assert len(says) == len(set(says))
    numbers = [number for entry in known() for number in entry.osstatus]
    assert len(numbers) == len(set(numbers))
