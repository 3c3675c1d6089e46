"""docs/apple-errors.md: the table of meanings, with what the code of a release makes of each entry."""

from __future__ import annotations

from itertools import groupby

from pipeline import notary
from pipeline.errors import (
    CredentialsError,
    ReleaseError,
    ServiceUnavailable,
    SigningError,
    StapleError,
    VerificationError,
)
from pipeline.explain import Explanation, Retry, known
from pipeline.host import Completed
from pipeline.notary.answers import NotThere
from pipeline.notary.waiting import Throttled
from pipeline.toolchain.apple.texts import refusal

_TITLES = {
    "xcrun": "In front of every tool: the developer tools",
    "macOS": "In front of every tool: the system",
    "notary": "The notary's log",
    "notary-service": "The notary's service, also through notarytool",
    "upload": "The upload, also through notarytool",
}
# What fails when the tool fails.
_STAGES: dict[str, dict[str, type[ReleaseError]]] = {
    "xcrun": {"": SigningError},
    "macOS": {"": SigningError},
    "stapler": {"": StapleError},
    "codesign": {"": SigningError, "verifying ": VerificationError},
    "spctl": {"": VerificationError},
    "security": {"": CredentialsError},
    "lipo": {"": SigningError},
    "ditto": {"": VerificationError},
    "xattr": {"": SigningError},
}
_RUN_BY = {"xcrun": "lipo", "macOS": "codesign"}
_NOTARYTOOL = ("notary-service", "upload", "notarytool")
_MADE_AGAIN = ("codesign", "stapler")


def page() -> str:
    """In the order of the data: a table for each of those who say something."""
    parts = [
        "# What Apple's tools and services say\n",
        "Every text that the program knows, what it means, and what a release makes of it: the exit code that it ends "
        "with, and whether the same call is made again by itself. The page is written from the data and the code that "
        "judge a real answer (`python tests/test_documentation.py`); `invoke explain TEXT` looks a text up.\n",
        "A text that stands nowhere here is a failure of the stage that met it, with the tool's own words; from "
        "notarytool it is exit 11 after some tries, with the submission on record. -: nothing has failed. "
        "7, 10: the wait ended before there was a log, or the notary does not know the submission at all.\n",
    ]
    for tool, entries in groupby(known(), key=lambda one: one.tool):
        parts.append(f"## {_TITLES.get(tool, tool)}\n")
        parts.append("| says | means | exit code | made again | to do |\n|---|---|---|---|---|")
        parts += [_row(entry) for entry in entries]
        parts[-1] += "\n"
    return "\n".join(parts)


def _row(entry: Explanation) -> str:
    codes, again = ("-", "-") if entry.retry is Retry.NEEDLESS else _judged(entry)
    cells = (f"`{entry.says}`", entry.meaning, codes, again, entry.remedy)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _judged(entry: Explanation) -> tuple[str, str]:
    if entry.tool == "notary":
        return "6", "no"
    if entry.tool == "macOS" and entry.error is None:
        return "9", "no"  # met where each slice is started
    completed = _answer(entry)
    if entry.tool in _NOTARYTOOL:
        error = _of_notarytool(completed)
        # What can pass is waited for as long as [notary] wait says.
        late = "7" if isinstance(error, Throttled) else "7, 10" if isinstance(error, NotThere) else None
        return late or str(error.exit_code), "yes" if isinstance(error, ServiceUnavailable) else "no"
    found = [
        (words, refusal(_RUN_BY.get(entry.tool, entry.tool), completed, kind, ""))
        for words, kind in _STAGES[entry.tool].items()
    ]
    codes = dict.fromkeys(one.error.exit_code for _words, one in found)
    told = ", ".join(f"{words}{code}" for code, (words, _one) in zip(codes, found, strict=False))
    return told, "yes" if found[0][1].passing and entry.tool in _MADE_AGAIN else "no"


def _answer(entry: Explanation) -> Completed:
    """A tool that says this, and nothing else."""
    words = entry.words[0].replace("*", "…")
    return Completed(argv=(entry.tool,), returncode=(entry.exits or (1,))[0], stdout=b"", stderr=words.encode())


def _of_notarytool(completed: Completed) -> ReleaseError:
    tool = notary.NotaryTool(lambda *_words, timeout: completed, notary.KeychainProfile(name="any"))
    try:
        tool.status("2efe2717-52ef-43a5-96dc-0797e4ca1041")
    except ReleaseError as error:
        return error
    raise AssertionError(f"taken for an answer: {completed.stderr!r}")
