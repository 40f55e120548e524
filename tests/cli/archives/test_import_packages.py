"""`archive import-packages`: what is published outside the farm."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import BadInput
from cli.packages.index import read_index
from storage.archives import Archives
from storage.binary_packages import BinaryPackages
from storage.database.connection import connect
from storage.records import BinaryPackage
from tests.fix_cli import Command

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may

INDEX = """\
Package: libfoo1
Source: foo
Version: 1.2-1
Architecture: amd64
Provides: libfoo-abi (= 3),
 libfoo-compat
Depends: libc6 (>= 2.34)
Description: a library
 Package: not one

package: foo-doc
Description: its manual
version: 1.2-1
architecture: all

"""
PACKED: list[Callable[[bytes], bytes]] = [
    bytes,
    gzip.compress,
    lzma.compress,
    bz2.compress,
    zstandard.ZstdCompressor().compress,
]


@pytest.fixture
def ready(command: Command) -> Command:
    assert command("series", "add", "debian/bookworm", "--arch", "amd64", "--arch", "i386").code == 0
    if not command("archive", "list", "--json").json["archives"]:
        assert command("archive", "add", "debian/primary", "--purpose", "PRIMARY").code == 0
    return command


def write(path: Path, text: str = INDEX) -> Path:
    path.write_text(text)
    return path


def offered(database: str, names: Iterable[str]) -> list[tuple[str, str, str]]:
    with connect(database, application="test") as conn:
        archive = Archives(conn).get("debian", "primary").id
        found = BinaryPackages(conn).offered(names, [archive], ["bookworm"])
    return [(one.name, one.version, one.architecture) for one in found]


@pytest.mark.parametrize("pack", PACKED)
def test_an_index_is_read_plain_and_compressed(pack: Callable[[bytes], bytes]) -> None:
    found = read_index(io.BytesIO(pack(INDEX.encode())), "Packages")
    assert found.packages == (
        BinaryPackage("libfoo1", "1.2-1", "amd64", ("libfoo-abi (= 3)", "libfoo-compat")),
        BinaryPackage("foo-doc", "1.2-1", "all"),
    )
    assert (found.left_out, found.architectures) == ((), ("amd64",))


@pytest.mark.parametrize("pack", PACKED[1:])
def test_an_index_that_ends_in_the_middle_is_refused(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(INDEX.encode() * 1000)
    for cut in (8, len(packed) // 2, len(packed) - 1):
        with pytest.raises(BadInput, match="can't be read"):
            read_index(io.BytesIO(packed[:cut]), "Packages")
    with pytest.raises(BadInput, match="can't be read"):
        read_index(
            io.BytesIO(packed[: len(packed) // 2] + b"\xff" * 100 + packed[len(packed) // 2 + 100 :]), "Packages"
        )


def test_an_index_in_several_parts_is_read_to_its_end() -> None:
    for pack in PACKED[1:]:
        parts = pack(INDEX.encode()) + pack(INDEX.replace("foo", "bar").encode())
        assert len(read_index(io.BytesIO(parts), "Packages").packages) == 4


def test_what_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.packages.index._LARGEST", 1000)
    with pytest.raises(BadInput, match="unpacks to more than 1000 bytes"):
        read_index(io.BytesIO(gzip.compress(INDEX.encode() * 100)), "Packages")


def test_a_stanza_that_is_no_package_is_left_out_and_told() -> None:
    found = read_index(io.BytesIO(f"{INDEX}Package: Foo\nVersion: 1\nArchitecture: all\n".encode()), "Packages")
    assert len(found.packages) == 2
    assert found.left_out == ("stanza 3: name 'Foo' of a binary package can't be",)


@given(st.binary(max_size=300) | st.text("Packgevrsionchtu: 1.\n", max_size=300).map(str.encode))
def test_no_bytes_raise_anything_but_that_it_is_no_index(content: bytes) -> None:
    for head in (b"", b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh"):
        try:
            read_index(io.BytesIO(head + content), "Packages")
        except BadInput as error:
            assert "Packages" in str(error)  # noqa: PT017 - any of them may be read


def test_what_is_imported_is_published_and_the_next_import_replaces_it(
    ready: Command, tmp_path: Path, farm_database: str
) -> None:
    path = write(tmp_path / "Packages")
    ran = ready("archive", "import-packages", "debian/primary", path, "--series", "bookworm")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "debian/primary bookworm amd64: 2 packages from outside; 2 are new, 0 are gone\n"
    names = ["libfoo1", "foo-doc", "libfoo-abi"]
    assert offered(farm_database, names) == [("libfoo1", "1.2-1", "amd64"), ("foo-doc", "1.2-1", "all")]
    write(path, INDEX.replace("1.2-1\nArchitecture: amd64", "1.3-1\nArchitecture: amd64"))
    document = ready("archive", "import-packages", "debian/primary", path, "--series", "bookworm", "--json").json
    assert (document["architecture"], document["added"], document["removed"], document["kept"]) == ("amd64", 1, 1, 1)
    assert offered(farm_database, ["libfoo1"]) == [("libfoo1", "1.3-1", "amd64")]
    ready("archive", "import-packages", "debian/primary", write(path, ""), "--series", "bookworm", "--arch", "amd64")
    assert offered(farm_database, names) == []


def test_the_event_says_who_imported_what(ready: Command, tmp_path: Path, farm_database: str) -> None:
    ready("archive", "import-packages", "debian/primary", write(tmp_path / "Packages"), "--series", "bookworm")
    with connect(farm_database, application="test") as conn:
        row = conn.execute("SELECT who, why, after->>'count' FROM event WHERE what = 'packages: insert'").fetchone()
    assert row is not None
    assert row[1:] == ("archive import-packages debian/primary --series bookworm --arch amd64", "2")


def test_an_index_comes_from_stdin_too(ready: Command, monkeypatch: pytest.MonkeyPatch, farm_database: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(INDEX.encode()))))
    assert ready("archive", "import-packages", "debian/primary", "-", "--series", "bookworm").code == 0
    assert offered(farm_database, ["foo-doc"]) == [("foo-doc", "1.2-1", "all")]


MIXED = INDEX + "Package: bar\nVersion: 1\nArchitecture: i386\n"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("",), "lists no packages: say --arch to empty"),
        ((MIXED,), "lists packages of amd64, i386: import it once for each, with --arch"),
        ((INDEX.replace(" all", " amd64"), "--arch", "i386"), "lists packages of amd64 only, and none of i386"),
        ((INDEX, "--arch", "arm64"), "debian/bookworm is not for 'arm64' (it is for: amd64, i386, all)"),
        ((INDEX.replace("amd64", "arm64"),), "debian/bookworm is not for 'arm64'"),
        (("<html>\n",), "can't be read: no line in it is one of an index of binary packages; fetch it again"),
        (("<html>\n", "--arch", "amd64"), "can't be read: no line in it is one of an index of binary packages"),
        (("Foo: bar\nVersion: 1\n",), "is no index of binary packages: stanza 1: name ''"),
        ((INDEX, "--series", "sid"), "no series 'debian/sid' here"),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(
    ready: Command, tmp_path: Path, farm_database: str, asked: tuple[str, ...], words: str
) -> None:
    command = ("archive", "import-packages", "debian/primary")
    ready(*command, write(tmp_path / "Packages"), "--series", "bookworm")
    before = offered(farm_database, ["libfoo1", "foo-doc"])
    text, *options = asked
    ran = ready(*command, write(tmp_path / "Packages", text), "--series", "bookworm", *options)
    assert (ran.code, ran.out) == (2, ""), ran
    assert words in ran.err
    assert offered(farm_database, ["libfoo1", "foo-doc"]) == before


def test_a_file_of_several_architectures_is_imported_once_for_each(
    ready: Command, tmp_path: Path, farm_database: str
) -> None:
    path = write(tmp_path / "Packages", MIXED)
    for arch in ("amd64", "i386"):
        assert (
            ready("archive", "import-packages", "debian/primary", path, "--series", "bookworm", "--arch", arch).code
            == 0
        )
    found = offered(farm_database, ["libfoo1", "bar", "foo-doc"])
    assert sorted(found) == [
        ("bar", "1", "i386"),
        ("foo-doc", "1.2-1", "all"),
        ("foo-doc", "1.2-1", "all"),
        ("libfoo1", "1.2-1", "amd64"),
    ]


def test_an_archive_that_is_not_there_is_told(ready: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "Packages")
    assert ready("archive", "import-packages", "debian/nowhere", path, "--series", "bookworm").code == 2
    assert ready("archive", "import-packages", "nowhere", path, "--series", "bookworm").code == 2
    assert ready("archive", "import-packages", "debian/primary", tmp_path / "gone", "--series", "bookworm").code == 2
