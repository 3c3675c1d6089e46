"""The .msh file: as the agent reads it."""

from __future__ import annotations

import pytest

from pipeline import launchd
from pipeline.errors import ConfigurationError, MalformedFile


def test_a_msh_is_read_as_the_agent_reads_it() -> None:
    """Comments, blanks around lines and Windows' line ends do not count; a value may hold =; the last key wins."""
    data = b"\xef\xbb\xbf# a comment\r\nMeshID=0xAB==\r\n\r\n  MeshType = 2 \nMeshType=3\nEmpty=\n"
    assert launchd.parse_msh(data) == {"MeshID": "0xAB==", "MeshType": "3", "Empty": ""}


def test_a_msh_comes_back_as_it_was() -> None:
    """What is written is read back; what cannot be written is refused."""
    values = {"MeshName": "ACMEnet", "MeshServer": "wss://mesh.acme.example.com:443/agent.ashx", "Empty": ""}
    assert launchd.parse_msh(launchd.build_msh(values)) == values
    for bad in ({"a=b": "c"}, {"a": "b\nc"}, {"a": " b"}, {"": "x"}, {"#a": "b"}, {"a": "b\0"}):
        with pytest.raises(ConfigurationError):
            launchd.build_msh(bad)


@pytest.mark.parametrize("data", [b"no sign", b"=value", b"a=\xff", b"a=b\0c", b"a=" + bytes(1 << 20)])
def test_a_msh_that_is_none(data: bytes) -> None:
    """What is no Key=Value text is a malformed file, with its line."""
    with pytest.raises(MalformedFile):
        launchd.parse_msh(data)
