"""What is wrong with a checkout, a configuration or a host: a clear message, its exit code, nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from builders.workshop import COPY, ROOT, Workshop


def outputs_of(workshop: Workshop) -> set[str]:
    """What a failed run left, records and log aside."""
    kept = {"audit.jsonl", ".lock", "rehearsal", ".work", "zig"}
    return {path.name for path in workshop.outputs.glob("*")} - kept if workshop.outputs.is_dir() else set()


def test_failing_compiler(workshop: Workshop) -> None:
    """A compiler that fails is exit 3 with its last lines, and no output is left for a later stage."""
    workshop.configure(command=["sh", "-c", "echo no such header >&2; exit 7", "{output}", "{debug_output}"])
    ran = workshop.invoke("release")
    assert ran.code == 3
    assert "no such header" in ran.err
    assert "exited 7" in ran.err
    assert not (workshop.outputs / "unsigned").exists()
    assert workshop.invoke("sign").code == 2


def test_failing_compiler_after_a_good_release(released: Workshop) -> None:
    """What an earlier build left is not taken for a fresh one when the next build fails."""
    released.configure(command=["false", "{output}", "{debug_output}"])
    assert released.invoke("release").code == 3
    assert not (released.outputs / "unsigned").exists()
    assert not (released.outputs / "release.json").exists()
    sign = released.invoke("sign")
    assert sign.code == 2
    assert "build" in sign.err


def test_build_that_leaves_nothing(workshop: Workshop) -> None:
    """A build that succeeds and leaves no file is exit 3."""
    workshop.configure(command=["true", "{output}", "{debug_output}"])
    ran = workshop.invoke("release")
    assert ran.code == 3
    assert "left no meshagent" in ran.err


def test_missing_program(workshop: Workshop) -> None:
    """A build command whose program is not there is exit 12 and named."""
    workshop.configure(command=["no-such-make-at-all", "{output}", "{debug_output}"])
    ran = workshop.invoke("release")
    assert ran.code == 12
    assert "no-such-make-at-all" in ran.err


def test_wrong_architecture(workshop: Workshop) -> None:
    """A source that builds for another architecture than asked is exit 3, and says both."""
    workshop.configure(command=["make", "macos", "ARCH=arm64", "OUTPUT={output}", "DEBUG_OUTPUT={debug_output}"])
    ran = workshop.invoke("release")
    assert ran.code == 3
    assert "built for arm64 instead of x86_64" in ran.err


def test_a_binary_that_needs_a_newer_macos(workshop: Workshop) -> None:
    """A compiler that was told another lowest macOS than users are: exit 3, both versions; nothing is left."""
    text = workshop.configuration.read_text()
    workshop.configuration.write_text(text.replace('x86_64 = "10.13"', 'x86_64 = "10.12"'))
    ran = workshop.invoke("build", "--arch", "x86_64")
    assert ran.code == 3
    assert "needs macOS 10.13.0, and minimum-macos says 10.12" in ran.err
    assert not (workshop.outputs / "unsigned" / "x86_64").exists()


def test_not_a_macho(workshop: Workshop) -> None:
    """A thin file that is not Mach-O is exit 3."""
    workshop.configure(command=["sh", "-c", 'echo \'#!/bin/sh\' | tee "$0" > "$1"', "{output}", "{debug_output}"])
    ran = workshop.invoke("release")
    assert ran.code == 3
    assert "not a Mach-O" in ran.err


def test_universal_where_a_thin_file_belongs(workshop: Workshop, finished: Workshop) -> None:
    """A build that leaves a universal file is refused: its second slice would be of the same architecture again."""
    fat = finished.outputs / "universal" / "meshagent"
    workshop.configure(command=["sh", "-c", f"cp '{fat}' \"$0\"; cp '{fat}' \"$1\"", "{output}", "{debug_output}"])
    ran = workshop.invoke("release")
    assert ran.code == 3
    assert "built for x86_64, arm64 instead of" in ran.err


def test_unknown_key(workshop: Workshop) -> None:
    """An unknown key is exit 2, with its line and what was probably meant."""
    workshop.configure(more='\n[notary]\nwiat = "30m"\n')
    ran = workshop.invoke("release")
    assert ran.code == 2
    assert "wiat" in ran.err
    assert "wait" in ran.err
    assert "line" in ran.err
    assert outputs_of(workshop) == set()


def test_missing_configuration(workshop: Workshop) -> None:
    """A release.toml that is not there is exit 2."""
    workshop.configuration.unlink()
    assert workshop.invoke("release").code in (2, 14)


def test_dirty_tree_is_told_in_a_rehearsal_and_refused_in_a_real_release(workshop: Workshop) -> None:
    """Uncommitted changes: a warning and `dirty` in the manifest in a rehearsal; exit 2 in a real release."""
    (workshop.folder / "identity.p12").write_bytes(b"not read before the checkout is judged")
    workshop.configure(world="real", more='\n[sign]\nidentity = "identity.p12"\n[notary]\nprofile = "n"\n')
    (workshop.folder / "source" / "changed.txt").write_text("x")
    ran = workshop.invoke("release")
    assert ran.code == 2
    assert "not committed" in ran.err


def test_a_real_release_without_credentials_is_not_built(workshop: Workshop, finished: Workshop) -> None:
    """Exit 10 before any build, and never a rehearsal; a broken identity is named."""
    identity = workshop.folder / "identity.pem"
    shutil.copy(finished.outputs / "rehearsal" / "keys" / "developer-id.pem", identity)
    workshop.configure(world="real", more='\n[sign]\nidentity = "identity.pem"\n[notary]\nprofile = "nobody-has-it"\n')
    ran = workshop.invoke("release")
    assert ran.code == 10, ran.err
    assert "build:" not in ran.err
    assert outputs_of(workshop) == set()
    identity.write_text("no PEM")
    workshop.commit()
    ran = workshop.invoke("release")
    assert ran.code == 2
    assert "identity.pem" in ran.err


def test_streams_that_are_closed_or_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password asked of a closed standard input is a wrong one; a result that cannot be written is the disk's."""
    key, tool = tmp_path / "id.p12", tmp_path / "tool"
    key.write_bytes(b"no p12")
    tool.write_bytes(b"no tool")

    def run(
        words: list[str], before: Callable[[], object], out: IO[bytes], err: int = subprocess.PIPE
    ) -> tuple[int, str]:
        program = [sys.executable, "-B", "-m", "invoke", *words]
        done = subprocess.run(program, cwd=ROOT, stdout=out, stderr=err, preexec_fn=before, check=False)
        return done.returncode, (done.stderr or b"").decode()

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    with (tmp_path / "out").open("wb") as out:
        code, said = run(["file.sign", str(tool), "--identity", str(key)], lambda: os.close(0), out)
        assert code == 2, said
        assert "defect" not in said
        code, said = run(["explain", "65"], fill, out)
        assert code == 14, said
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
        code, said = run(["explain", "65"], fill, out)
        assert code == 14, said
        assert "the job's summary" in said
        assert "Traceback" not in said
        code, _ = run(["explain", "65"], fill, out, err=out.fileno())
        assert code == 14


def test_a_terminal_that_has_only_ascii(finished: Workshop) -> None:
    """What is printed is UTF-8, and never the reason why a command fails."""
    words = ("audit", "--folder", str(finished.outputs))
    ran = finished.invoke_plain(*words, environment={"PYTHONIOENCODING": "ascii"})
    assert ran.code == 0, ran.err
    assert "·" in ran.out


def test_no_git(workshop: Workshop, tmp_path: Path) -> None:
    """Without git on PATH the release stops with exit 12 and names it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "sh", "cp"):
        (tools / name).symlink_to(shutil.which(name) or name)
    ran = workshop.invoke("release", environment={"PATH": str(tools)})
    assert ran.code == 12
    assert "git" in ran.err


def test_no_commit_and_no_source_date(workshop: Workshop) -> None:
    """Outside a repository and without SOURCE_DATE_EPOCH there is no version: exit 2, never the wall clock."""
    shutil.rmtree(workshop.folder / ".git")
    ran = workshop.invoke("release")
    assert ran.code == 2
    assert "SOURCE_DATE_EPOCH" in ran.err


def test_source_date_epoch_takes_the_place_of_the_commit(workshop: Workshop) -> None:
    """SOURCE_DATE_EPOCH gives the version where it is set."""
    ran = workshop.invoke("build", "--json", environment={"SOURCE_DATE_EPOCH": "1000000000"})
    assert ran.code == 0, ran.err
    assert "01.0909.0146" in ran.err


def test_output_folder_that_is_a_file(workshop: Workshop) -> None:
    """An output folder that cannot be made is exit 14, and the path is named."""
    (workshop.folder / "build").write_text("in the way")
    ran = workshop.invoke("release")
    assert ran.code == 14
    assert "build" in ran.err


def in_namespace(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace of its own; skips where the kernel does not give one."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0:
        pytest.skip("needs unshare and a kernel that gives mount namespaces")
    return subprocess.run(
        ["unshare", "-rm", "sh", "-ec", script, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


_RELEASE = 'exec "$1" -m invoke release --config "$0/release.toml"'


def test_read_only_output_folder(workshop: Workshop) -> None:
    """An output folder that cannot be written is exit 14, and says so."""
    workshop.outputs.mkdir(parents=True)
    mount = 'mount -t tmpfs -o ro none "$0/build/macos"; '
    ran = in_namespace(mount + _RELEASE, str(workshop.folder), sys.executable)
    assert ran.returncode == 14, ran.stderr
    assert "read-only" in ran.stderr


@pytest.mark.parametrize("size", ["64k", "300k", "700k"])
def test_full_disk(workshop: Workshop, size: str) -> None:
    """No space left, early or late: exit 14 (or the compiler's own 3), never a traceback, nothing half-written."""
    workshop.outputs.mkdir(parents=True)
    check = f'mount -t tmpfs -o size={size} none "$0/build/macos"; code=0; ("$1" -m invoke release --config '
    check += '"$0/release.toml") || code=$?; find "$0/build/macos" -name "*.new" >&2; exit $code'
    ran = in_namespace(check, str(workshop.folder), sys.executable)
    assert ran.returncode in (3, 14), ran.stderr
    assert "space" in ran.stderr.lower()
    assert "Traceback" not in ran.stderr
    assert ".new\n" not in ran.stderr


def test_two_releases_at_once(workshop: Workshop) -> None:
    """While another process holds the output folder, a release stops at once with exit 13."""
    wait = "touch ../began; until test -e ../go; do :; done; exit 1"
    workshop.configure(command=["sh", "-c", wait, "{output}", "{debug_output}"])
    first = subprocess.Popen(
        [sys.executable, "-m", "invoke", "release", "--config", str(workshop.configuration)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    while not (workshop.folder / "began").exists():
        assert first.poll() is None
    second = workshop.invoke("release")
    (workshop.folder / "go").touch()
    assert first.wait() == 3
    assert second.code == 13
    assert "another release" in second.err


def test_a_signal_to_the_release_alone_ends_its_compilers(workshop: Workshop) -> None:
    """As a build service sends it: to one process, not to its group. Exit 143 at once, and nothing is built."""
    workshop.configure(command=["sh", "-c", 'kill -TERM $PPID; sh -c "sleep 3600; :"; :', "{output}", "{debug_output}"])
    ended = workshop.invoke("release")
    assert ended.code == 143, ended.err
    assert outputs_of(workshop) == set()


def test_builds_run_side_by_side(workshop: Workshop) -> None:
    """Two builds that each wait for the other's mark both end: they ran at the same time."""
    wait = 'touch ../mark.$0; until test -e ../mark.x86_64 && test -e ../mark.arm64; do :; done; exec "$@"'
    workshop.configure(command=["sh", "-c", wait, "{arch}", *COPY])
    ran = workshop.invoke("build")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("option", ["--warn-only", "--echo", "--hide=both", "--pty", "--command-timeout=5"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_invokes_run_options_are_refused(workshop: Workshop, option: str, place: str) -> None:
    """Invoke's run options would change how commands run; set before or after the task, they are refused."""
    words = [option, "status"] if place == "before" else ["status", option]
    ran = workshop.invoke(*words)
    assert ran.code == 2
    assert option.split("=")[0] in ran.err


def test_a_defect_shows_no_traceback_without_debug(workshop: Workshop) -> None:
    """An error's message reaches the user; its traceback only with --debug."""
    workshop.configuration.write_text("this is no toml")
    assert "Traceback" not in workshop.invoke("release").err
    assert "Traceback" in workshop.invoke("release", "--debug").err
