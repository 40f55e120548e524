"""The control file comes out of a `.deb`, and no bytes do any harm."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.builder.deb_control import CONTROL, Unreadable, control_of
from simulation.slaves.results import tiny_deb
from tests.fix_packages import a_deb, a_tar, an_ar

TEXT = b"Package: foo\nVersion: 1\nArchitecture: all\n"
GOOD = a_tar(("./", b""), ("./conffiles", b"/etc/foo\n"), ("./control", TEXT), ("./md5sums", b"x" * 5000))
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    ".zst": zstandard.ZstdCompressor().compress,
}


def found(tmp_path: Path, deb: bytes) -> bytes | Unreadable:
    path = tmp_path / "a.deb"
    path.write_bytes(deb)
    return control_of(path)


def words(tmp_path: Path, deb: bytes) -> str:
    result = found(tmp_path, deb)
    assert isinstance(result, Unreadable), result
    return result.why


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_control_file_is_found_however_it_is_packed(tmp_path: Path, packing: str) -> None:
    assert found(tmp_path, a_deb(PACKINGS[packing](GOOD), packing)) == TEXT


def test_the_strongest_compression_in_use_is_unpacked(tmp_path: Path) -> None:
    assert found(tmp_path, a_deb(lzma.compress(GOOD, preset=9 | lzma.PRESET_EXTREME), ".xz")) == TEXT


def test_a_simulated_slaves_package_is_read(tmp_path: Path) -> None:
    result = found(tmp_path, tiny_deb("foo", "1.0-1", "i386"))
    assert isinstance(result, bytes)
    assert result.startswith(b"Package: foo\nVersion: 1.0-1\nArchitecture: i386\n")


def test_a_name_without_its_folder_is_the_same_file(tmp_path: Path) -> None:
    assert found(tmp_path, a_deb(a_tar(("control", TEXT)))) == TEXT


def test_members_that_dpkg_skips_are_skipped(tmp_path: Path) -> None:
    deb = an_ar(("debian-binary", b"2.0\n"), ("_gpgorigin", b"odd"), ("control.tar/", GOOD))
    assert found(tmp_path, deb) == TEXT


@pytest.mark.parametrize(
    ("deb", "expected"),
    [
        (b"", "no ar archive"),
        (b"a deb", "no ar archive"),
        (b"!<arch>\n", "no control member"),
        (b"!<arch>\n" + b"x" * 60, "damaged"),
        (b"!<arch>\n" + b"x" * 10, "damaged"),
        (an_ar(("debian-binary", b"2.0\n")).replace(b"4         `", b"-4        `"), "no control member"),
        (an_ar(("debian-binary", b"2.0\n"), ("data.tar", b"")), "no control member"),
        (an_ar(*((f"x{number}", b"") for number in range(9)), ("control.tar", GOOD)), "no control member"),
        (a_deb(GOOD, ".rar"), "no control member"),
        (a_deb(GOOD, ".xz"), "can't be unpacked"),
        (a_deb(GOOD, ".zst"), "can't be unpacked"),
        (a_deb(GOOD, ".gz"), "can't be unpacked"),
        (a_deb(GOOD, ".bz2"), "can't be unpacked"),
        (a_deb(b""), "no control file"),
        (a_deb(b"x" * 512), "no tar archive"),
        (a_deb(a_tar(("./conffiles", b""))), "no control file"),
        (a_deb(a_tar(("./control", TEXT))[:520]), "cut off"),
        (a_deb(a_tar(("./control", b"x" * (CONTROL + 1)))), "more than 1048576"),
    ],
)
def test_what_is_no_package_is_told(tmp_path: Path, deb: bytes, expected: str) -> None:
    assert expected in words(tmp_path, deb)


def test_a_control_file_that_is_none_of_the_farms_is_not_followed(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        link = tarfile.TarInfo("./control")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert "no control file" in words(tmp_path, a_deb(out.getvalue()))


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.builder.deb_control.UNPACKED", 256 << 10)
    bomb = PACKINGS[packing](a_tar(("./conffiles", b"\0" * (16 << 20)), ("./control", TEXT)))
    deb = a_deb(bomb, packing)
    tracemalloc.start()
    try:
        assert "no control file in the first 262144 bytes" in words(tmp_path, deb)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


def test_a_dictionary_that_takes_gigabytes_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 256 << 20}]
    out = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])
    packed = bytearray(out.compress(GOOD) + out.flush())
    assert found(tmp_path, a_deb(bytes(packed), ".xz")) == TEXT
    wide = lzma.compress(GOOD, filters=filters)
    assert "can't be unpacked" in words(tmp_path, a_deb(wide, ".xz"))


def test_a_chain_of_long_names_ends(tmp_path: Path) -> None:
    longer = a_tar(("x" * 200, b""))[:1024]  # a header that announces a name, and the name
    assert "no control file" in words(tmp_path, a_deb(longer * 7000))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=4 * settings().max_examples)
@given(st.data())
def test_no_damage_raises_anything(tmp_path: Path, draw: st.DataObject) -> None:
    packing = draw.draw(st.sampled_from(list(PACKINGS)))
    deb = bytearray(a_deb(PACKINGS[packing](GOOD), packing))
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, min(len(deb) - 1, 2000)))
        deb[at : at + draw.draw(st.integers(0, 40))] = draw.draw(st.binary(max_size=40))
    result = found(tmp_path, bytes(deb))
    assert isinstance(result, Unreadable) or len(result) <= CONTROL


def test_a_disk_that_can_not_be_read_is_our_own_trouble(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        control_of(tmp_path / "gone.deb")
