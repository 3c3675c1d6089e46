"""Jobs written and read: the published files byte for byte, each row of their table, files that are none."""

from __future__ import annotations

import hashlib
import plistlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from builders.clients import need
from builders.jobs import LAYOUT_NAMES, ROWS, installation, placed, published
from hypothesis import given
from hypothesis import strategies as st

from pipeline import launchd
from pipeline.errors import MalformedFile

# SHA-256 of the files that MeshAgent's macOS port published (github.com/Ylianst/MeshAgent, examples/launchd): daemon of
# commit c6ed1ee6921117c5e9228c10b4e1e7c8a01c8dc1 and c7a627123d493f0d71246b75b0d553e79be814d7, agent of
# f1ceb27c6de07c2641a55d7b07f3e0f26bd8f25b and c6ed1ee6921117c5e9228c10b4e1e7c8a01c8dc1.
PUBLISHED = {
    ("mesh_services", "meshagent.plist"): "611402c0dd4755a8af776a85dae446b3b50f6324cad38f16e457172ba1b01239",
    ("mesh_services", "meshagent-agent.plist"): "f947b817974d1f7b6fbe9a9a94090d2adcbad6d1d698beb0ff9e870d6f5a301d",
    ("tacticalrmm", "meshagent.plist"): "7d1af5c9ee4dddcba7a1006c03853d823234c007156f426f062a14faba2dfa07",
    ("tacticalrmm", "meshagent-agent.plist"): "2d09bc1e67ac08e69bd32eb99ef42abb816365feea519fed00188f94c6ceba98",
}


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize(
    "number_and_key", tuple(enumerate(ROWS, 1)), ids=lambda pair: f"table_row_{pair[0]:02}_{pair[1]}"
)
def test_every_row_of_the_published_table(layout: str, number_and_key: tuple[int, str]) -> None:
    """Daemon and agent have the key's published value, the id added to the arguments; or neither has the key."""
    key = number_and_key[1]
    for made, expected in zip(
        (launchd.daemon_job(installation(layout)), launchd.agent_job(installation(layout))), ROWS[key], strict=True
    ):
        assert made.get(key) == placed(expected, launchd.LAYOUTS[layout])
        assert set(made) <= set(ROWS)


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
def test_without_the_id_they_are_the_published_files_byte_for_byte(layout: str) -> None:
    """What is rendered differs from the published files in one line each, the id in the arguments."""
    for name, data in launchd.render(installation(layout)).items():
        line = b"\t\t<string>--serviceId=meshagent</string>\n"
        assert data.count(line) == 1
        assert hashlib.sha256(data.replace(line, b"")).hexdigest() == PUBLISHED[layout, name]


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
def test_the_published_table_is_the_published_files(layout: str) -> None:
    """Written as jobs, the rows without the id are the published bytes."""
    for column, name in enumerate(("meshagent.plist", "meshagent-agent.plist")):
        assert hashlib.sha256(launchd.build_job(published(layout, column))).hexdigest() == PUBLISHED[layout, name]


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
def test_an_independent_reader_finds_every_key(layout: str, tmp_path: Path) -> None:
    """libplist's plistutil turns each rendered job into its binary form, which holds the same values."""
    tool = need("plistutil")
    odd = installation(layout, program="acme & <mesh>", service_name='"ACME" & Söhne', company_name="<x>")
    for name, data in (
        launchd.render(installation(layout)) | {"odd": launchd.build_job(launchd.daemon_job(odd))}
    ).items():
        (tmp_path / name).write_bytes(data)
        argv = [str(tool), "-i", str(tmp_path / name), "-o", str(tmp_path / "binary"), "-f", "bin"]
        subprocess.run(argv, check=True, capture_output=True)
        binary = (tmp_path / "binary").read_bytes()
        assert binary.startswith(b"bplist00")
        assert plistlib.loads(binary) == launchd.parse_job(data)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1),
        st.booleans() | st.integers(0, 2**63 - 1) | st.lists(st.text("abc <&>'\"é")),
    )
)
def test_unknown_keys_survive(values: dict[str, Any]) -> None:
    """Whatever a job holds is the same after it was written and read, and its bytes do not depend on the order."""
    data = launchd.build_job(values)
    assert launchd.parse_job(data) == values
    assert launchd.build_job(dict(reversed(values.items()))) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"bplist00",
        b"<plist><array/></plist>",
        b"<plist><dict><key>a</key></dict></plist>",
        b"<plist><dict><key>a</key><integer>x</integer></dict></plist>",
        b"<!DOCTYPE plist [<!ENTITY a 'b'>]><plist><dict/></plist>",
        b"<plist>" + b"<array>" * 5000,
        plistlib.dumps({"a": [[]]}).replace(b"<array/>", b"<array>" * 70 + b"</array>" * 70),
        b'<?xml version="1.0" encoding="UT1-8"?><plist><dict/></plist>',
        bytes((1 << 20) + 1),
    ],
)
def test_hostile_files_are_malformed_files(data: bytes) -> None:
    """What is no job ends in one kind of error."""
    with pytest.raises(MalformedFile):
        launchd.parse_job(data)


def test_a_binary_list_that_doubles_at_each_level_is_refused_at_once() -> None:
    """A file of a kilobyte whose lists hold one another twice, 200 levels deep, is malformed, and costs nothing."""
    levels = 200
    objects = [bytes([0xD1, 0, 1])[:1] + bytes([1, 2]), b"\x51a"]
    objects += [bytes([0xA2, number + 3, number + 3]) for number in range(levels)] + [b"\xa0"]
    body, offsets = b"bplist00", []
    for one in objects:
        offsets.append(len(body))
        body += one
    table = b"".join(offset.to_bytes(2, "big") for offset in offsets)
    trailer = bytes(6) + bytes([2, 1]) + b"".join(n.to_bytes(8, "big") for n in (len(objects), 0, len(body)))
    with pytest.raises(MalformedFile):
        launchd.parse_job(body + table + trailer)


def test_layouts() -> None:
    """An install path that is a published one adds no layout; another is called custom."""
    both = {"mesh_services": "/usr/local/mesh_services/meshagent", "tacticalrmm": "/opt/tacticalmesh"}
    assert launchd.layouts_of(None) == both
    assert launchd.layouts_of("/opt/tacticalmesh") == both
    assert launchd.layouts_of("/opt/acme") == both | {"custom": "/opt/acme"}
    assert launchd.layouts_of("/opt/acme", ()) == {"custom": "/opt/acme"}
    assert launchd.layouts_of("/opt/tacticalmesh", ()) == {"tacticalrmm": "/opt/tacticalmesh"}
