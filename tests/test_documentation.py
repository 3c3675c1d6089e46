"""What the documents say is what the program does.

Run as a program, this file writes docs/commands.md and docs/apple-errors.md anew.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from builders import refusal_page
from builders.workshop import ROOT

from pipeline import config, errors
from pipeline.host import system_host
from pipeline.tasks import namespace

README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = ROOT / "docs" / "commands.md"
APPLE_ERRORS = ROOT / "docs" / "apple-errors.md"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "templates-for-bin" / "README.md"]
SET_UP = (
    "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/invoke release     # set-up and main job",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/invoke test         # set-up and tests",
)
TASKS = sorted(namespace.task_names)


def printed(*command_lines: list[str]) -> list[str]:
    """What invoke prints on standard output for each of these command lines, all in one process."""
    program = (
        "import json, sys; from invoke.main import program\n"
        "for words in json.loads(sys.argv[1]): program.run(['invoke', *words], exit=False); print('\\f', end='')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    argv = [sys.executable, "-c", program, json.dumps(command_lines)]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return [page.strip("\n") for page in done.stdout.split("\f")[:-1]]


def commands_page() -> str:
    """docs/commands.md: what `invoke --list` and each command's help print."""
    listed, *helps = printed(["--list"], *(["--help", name] for name in TASKS))
    parts = [
        "# Commands\n",
        "What the program itself says; `python tests/test_documentation.py` writes this page.\n",
        f"    $ invoke --list\n\n{indented(listed)}\n",
        *(f"## {name}\n\n{indented(text)}\n" for name, text in zip(TASKS, helps, strict=True)),
    ]
    return "\n".join(parts)


def indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def test_the_two_commands_stand_in_the_readme_word_for_word() -> None:
    """Set-up and main job, set-up and tests: the two lines that everything else relies on."""
    lines = [line.strip() for line in README.splitlines()]
    assert [line for line in lines if line.startswith("python3 -m venv")] == list(SET_UP)


def test_the_page_of_commands_is_what_the_program_prints() -> None:
    """docs/commands.md holds the list of commands and every help text as they are printed today."""
    assert COMMANDS.read_text("utf-8") == commands_page()


@pytest.mark.parametrize("name", TASKS)
def test_every_option_is_explained(name: str) -> None:
    """No command leaves it to its reader to guess what an option is for."""
    assert [argument.name for argument in namespace[name].get_arguments() if not argument.help] == []


def test_the_page_of_apples_errors_is_what_a_release_makes_of_them() -> None:
    """docs/apple-errors.md holds every text that is known, with the exit code that the code gives it today."""
    assert APPLE_ERRORS.read_text("utf-8") == refusal_page.page()


def test_the_readme_names_every_command_and_no_other() -> None:
    """The README's tables of commands and the program's list agree."""
    table = "\n".join(re.findall(r"^\| (`.*?`) \|", README, re.MULTILINE))
    named = {re.sub(r"^invoke |[ \[].*$", "", code) for code in re.findall(r"`([^`]+)`", table)}
    assert named == set(TASKS)


def test_arguments_for_pytest_arrive_as_they_were_typed() -> None:
    """`invoke test -- ARGS`: an expression of several words stays one."""
    program = [sys.executable, "-m", "invoke", "--dry", "test", "--", "-k", "this or that", "-x"]
    said = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    assert said.endswith("-k 'this or that' -x\n")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document leads to a file or a folder of this checkout."""
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8")):
        if "://" not in target:
            found = (document.parent / target).resolve()
            assert found.exists(), f"{document.name} links to {target}"
            assert found.is_relative_to(ROOT)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(document: Path) -> None:
    """Every `.venv/bin/invoke NAME` that a document shows is a command."""
    for name in re.findall(r"\.venv/bin/invoke (?:--\S+ )*([a-z][a-z.-]*)", document.read_text("utf-8")):
        assert name in TASKS


def test_the_documented_configuration_is_accepted(tmp_path: Path) -> None:
    """The release.toml that docs/configuration.md explains, every key of it, is one that the program reads."""
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    example, app = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    with_more = re.sub(r"^\[app\].*?(?=^\[)", lambda _: app, example, flags=re.MULTILINE | re.DOTALL)
    for folder in ("examples/agent", "art", "parts/Engine.framework", "parts/Service.xpc"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("art/Agent.icns", "agent.provisionprofile", "service.plist", "Info.plist"):
        (tmp_path / name).touch()
    for one in (example, with_more):
        (tmp_path / "release.toml").write_text(one)
        configuration = config.load(tmp_path / "release.toml", system_host())
        assert [product.name for product in configuration.products] == ["meshagent"]


def test_every_key_of_the_configuration_is_documented() -> None:
    """docs/configuration.md shows each key that the program knows."""
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    known: set[str] = set()
    for path in (ROOT / "pipeline" / "config").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "require_known"
            ):
                known |= {
                    word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)
                }
    assert len(known) > 30
    assert {key for key in known if not re.search(rf"(?<![\w-]){key}(?![\w-])", text)} == set()


def test_the_documents_know_every_room() -> None:
    """docs/architecture.md has a row for each room of the house, and the contract of imports a place."""
    rooms = {
        path.stem for path in (ROOT / "pipeline").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    table = re.findall(r"^\| \d \| `(\w+)` \|", (ROOT / "docs" / "architecture.md").read_text("utf-8"), re.MULTILINE)
    assert set(table) == rooms - {"__init__"}
    assert len(table) == len(set(table))


def test_exit_codes_are_those_of_the_interface() -> None:
    """The exit codes that scripts depend on."""
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type))
    found = {kind.__name__: kind.exit_code for kind in kinds if issubclass(kind, errors.ReleaseError)}
    assert found == {
        "ReleaseError": 1,
        "ConfigurationError": 2,
        "MalformedFile": 2,
        "NotSupported": 2,
        "BuildError": 3,
        "SigningError": 4,
        "PreflightError": 5,
        "NotaryRejected": 6,
        "NotaryPending": 7,
        "StapleError": 8,
        "VerificationError": 9,
        "CredentialsError": 10,
        "ServiceUnavailable": 11,
        "ToolMissing": 12,
        "AlreadyRunning": 13,
        "HostRefused": 14,
        "Interrupted": 130,
        "Unheard": 141,
        "Terminated": 143,
    }


def test_every_exit_code_is_documented() -> None:
    """docs/exit-codes.md has a row for each code that a command can end with."""
    table = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "exit-codes.md").read_text("utf-8"), re.MULTILINE)
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ReleaseError)}
    assert {int(code) for code in table} == {0} | {kind.exit_code for kind in kinds - {errors.PreflightError}}


def test_nothing_points_outside_of_the_checkout() -> None:
    """No file of ours names a folder of the machine that it was written on."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    places = re.compile(rb"(?<![\w.])/(?:work|root)/|" + re.escape(str(ROOT).encode()))
    for name in filter(None, listed):
        path = ROOT / os.fsdecode(name)
        if path.is_file() and not path.is_relative_to(ROOT / "tests" / "vectors"):
            found = places.search(path.read_bytes())
            assert found is None, f"{path.relative_to(ROOT)} names {found[0].decode() if found else ''}"


if __name__ == "__main__":
    COMMANDS.write_text(commands_page(), "utf-8")
    APPLE_ERRORS.write_text(refusal_page.page(), "utf-8")
