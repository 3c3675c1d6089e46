"""The stand-in agent: what its Makefile leaves for macOS, and what the program says, built for this host."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lief
import pytest
from builders.clients import need

AGENT = Path(__file__).parents[2] / "examples" / "agent"
VERSION = "26.1121.0615"
MINIMUM = {"x86_64": "10.13", "arm64": "11.0"}
OWN = {
    "_main",
    "_peer_is_same_code",
    "_places_of",
    "_run_daemon",
    "_run_session",
    "_service_id_from_name",
    "_service_id_problem",
    "_usage",
    "_wire_read",
    "_wire_send",
}
"""What the program itself defines; a DEBUG twin shows all of it, a release nothing."""
ON_A_MAC = platform.system() == "Darwin"
CC = "xcrun clang" if ON_A_MAC else f"{shlex.quote(sys.executable)} -m ziglang cc"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a build, with zig's caches out of the way of the outputs."""
    folder = str(tmp_path_factory.mktemp("zig"))
    return {**os.environ, "ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}


def make(source: Path, output: Path, arch: str, environment: dict[str, str], **changes: str) -> Path:
    """Build one architecture as the release does; return the folder with `meshagent` and `DEBUG_meshagent`."""
    folder = output / arch
    folder.mkdir(parents=True)
    words = {
        "CC": CC,
        "ARCH": arch,
        "VERSION": VERSION,
        "MINIMUM": MINIMUM[arch],
        "OUTPUT": f"{folder}/meshagent",
        "DEBUG_OUTPUT": f"{folder}/DEBUG_meshagent",
    } | changes
    argv = ["make", "macos", *(f"{name}={value}" for name, value in words.items())]
    subprocess.run(argv, cwd=source, env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, cache: dict[str, str]) -> Path:
    """Both architectures, built at the same time from the one source folder, into a path with a space."""
    output = tmp_path_factory.mktemp("built") / "out puts"
    before = tree(AGENT)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda arch: make(AGENT, output, arch, cache), MINIMUM))
    assert tree(AGENT) == before, "a build wrote into its source"
    return output


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(path: Path) -> lief.MachO.Binary:
    fat = lief.MachO.parse(str(path))
    assert fat is not None
    assert fat.size == 1
    binary = fat.at(0)
    assert binary is not None
    return binary


def names(path: Path) -> set[str]:
    """Names of all symbols of a thin file but the imported ones."""
    binary = read(path)
    return {str(symbol.name) for symbol in binary.symbols} - {str(symbol.name) for symbol in binary.imported_symbols}


@pytest.mark.parametrize("arch", MINIMUM)
def test_the_release_has_no_symbol_of_its_own(built: Path, arch: str) -> None:
    """A release binary names its imports and what the linker adds, and nothing that the program defines."""
    left = {name for name in names(built / arch / "meshagent") if not name.endswith("__thunk")}
    assert left <= {"__mh_execute_header", "___dso_handle"}


@pytest.mark.parametrize("arch", MINIMUM)
def test_the_debug_twin_keeps_its_symbols(built: Path, arch: str) -> None:
    """A DEBUG twin names every function of the program, and the objects that hold its DWARF."""
    found = names(built / arch / "DEBUG_meshagent")
    assert found >= OWN
    assert any(name.endswith("agent.o") for name in found)


@pytest.mark.parametrize("arch", MINIMUM)
def test_both_run_the_same_code(built: Path, arch: str) -> None:
    """Release and DEBUG twin have the same instructions and the same constants."""
    release, debug = (read(built / arch / name) for name in ("meshagent", "DEBUG_meshagent"))
    for section in ("__text", "__cstring", "__const"):
        one, other = release.get_section(section), debug.get_section(section)
        assert one is not None
        assert other is not None
        assert bytes(one.content) == bytes(other.content)


@pytest.mark.parametrize("arch", MINIMUM)
@pytest.mark.parametrize("name", ["meshagent", "DEBUG_meshagent"])
def test_what_was_asked_for_was_built(built: Path, arch: str, name: str) -> None:
    """Architecture and lowest macOS are those asked for, and libSystem is the one library."""
    binary = read(built / arch / name)
    expected = {"x86_64": lief.MachO.Header.CPU_TYPE.X86_64, "arm64": lief.MachO.Header.CPU_TYPE.ARM64}
    assert binary.header.cpu_type == expected[arch]
    assert [str(library.name) for library in binary.libraries] == ["/usr/lib/libSystem.B.dylib"]
    newer, older = binary.build_version, binary.version_min
    lowest = newer.minos if newer else older.version if older else []
    assert ".".join(map(str, lowest[:2])) == MINIMUM[arch]


@pytest.mark.parametrize("arch", MINIMUM)
def test_there_is_room_for_a_signature_command(built: Path, arch: str) -> None:
    """Between the load commands and the first section lie the 16 bytes that LC_CODE_SIGNATURE needs."""
    binary = read(built / arch / "meshagent")
    first = min(section.offset for section in binary.sections if section.offset)
    mach_header_64 = 32
    assert mach_header_64 + binary.header.sizeof_cmds + 16 <= first


@pytest.mark.parametrize("arch", MINIMUM)
def test_the_release_knows_its_version_and_no_place(built: Path, arch: str) -> None:
    """The version's text is in the binary; the paths of source, outputs and home are not."""
    data = (built / arch / "meshagent").read_bytes()
    assert VERSION.encode() in data
    for place in (AGENT.parents[1], built, Path.home()):
        assert str(place).encode() not in data


@pytest.mark.parametrize("arch", MINIMUM)
def test_another_folder_gives_the_same_release(built: Path, tmp_path: Path, cache: dict[str, str], arch: str) -> None:
    """A release built from a copy of the source elsewhere, with caches of its own, is the same file."""
    shutil.copytree(AGENT, tmp_path / "a copy")
    fresh = {**cache, "ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "zig"), "ZIG_LOCAL_CACHE_DIR": str(tmp_path / "zig")}
    again = make(tmp_path / "a copy", tmp_path / "outputs", arch, fresh)
    assert (again / "meshagent").read_bytes() == (built / arch / "meshagent").read_bytes()


@pytest.mark.skipif(ON_A_MAC, reason="zig's caches are a matter of the portable toolchain")
def test_without_a_home_the_caches_lie_beside_the_output(tmp_path: Path) -> None:
    """Where nobody says where zig may cache, it caches beside the output, and needs no home."""
    bare = {"PATH": os.environ["PATH"]}
    folder = make(AGENT, tmp_path, "arm64", bare)
    assert sorted(path.name for path in folder.iterdir()) == ["DEBUG_meshagent", "meshagent", "meshagent.zig-cache"]


@pytest.mark.llvm
@pytest.mark.parametrize("arch", MINIMUM)
def test_llvm_sees_no_symbol_of_the_program_either(built: Path, arch: str) -> None:
    """llvm-nm, an independent reader, finds the program's names in the DEBUG twin alone."""
    tool = need("llvm-nm")
    listed = {
        name: set(subprocess.run([tool, "-a", built / arch / name], check=True, capture_output=True).stdout.split())
        for name in ("meshagent", "DEBUG_meshagent")
    }
    own = {name.encode() for name in OWN}
    assert own <= listed["DEBUG_meshagent"]
    assert not own & listed["meshagent"]


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory, cache: dict[str, str]) -> Path:
    """The agent for this host, under a name that is no service id as it stands."""
    program = tmp_path_factory.mktemp("native") / "ACME  Remote, Inc."
    sources = sorted(AGENT.glob("*.c"))
    # Without -O2 zig would first build the sanitizer that it adds to such programs.
    argv = [*shlex.split(CC), "-O2", f'-DAGENT_VERSION="{VERSION}"', "-o", str(program), *map(str, sources)]
    subprocess.run(argv, check=True, capture_output=True, env=cache)
    return program


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def test_it_prints_the_version_of_the_release(native: Path) -> None:
    """--version prints the version it was built with, and nothing else."""
    assert run(native, "--version").stdout == f"{VERSION}\n"


def test_its_name_makes_its_service_id(native: Path) -> None:
    """White space becomes one hyphen, capitals small letters, and other characters go."""
    done = run(native, "--paths")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "id       acme-remote-inc",
        "daemon   /Library/LaunchDaemons/acme-remote-inc.plist",
        "agent    /Library/LaunchAgents/acme-remote-inc-agent.plist",
        "socket   /tmp/acme-remote-inc.sock",
        "session  /var/run/acme-remote-inc/session-active",
    ]


@pytest.mark.parametrize("identifier", ["com.acme.remote", "acmemesh", "a" * 93])
def test_a_given_service_id_is_used_as_it_stands(native: Path, identifier: str) -> None:
    """An explicit id keeps its dots, up to the length that a socket's path has room for."""
    done = run(native, f"--serviceId={identifier}", "--paths")
    assert f"socket   /tmp/{identifier}.sock" in done.stdout.splitlines()


@pytest.mark.parametrize("identifier", ["", "acme-agent", "a/b", "a b", "a" * 94, "é"])
def test_a_service_id_that_cannot_work_is_refused(native: Path, identifier: str) -> None:
    """An id that daemon and agent could not both use is refused with exit code 2 and a reason."""
    done = run(native, f"--serviceId={identifier}", "--paths")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"the service id '{identifier}' " in done.stderr


@pytest.mark.parametrize("words", [("--nonsense",), ("-kvm0",), ("--paths", "meshagent")])
def test_a_word_that_it_does_not_know_gets_the_usage(native: Path, words: tuple[str, ...]) -> None:
    """An unknown argument gets the usage on standard error and exit code 2."""
    done = run(native, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: meshagent" in done.stderr
    assert run(native, "--help").stdout in done.stderr
