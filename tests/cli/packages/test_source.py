"""A source package is read whole or refused with the name of what is wrong."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.packages.source import SourceRefused, read
from tests.fix_cli import SourceMaker, clearsign, write_source


def test_a_source_package_is_read_with_all_its_files(source: SourceMaker) -> None:
    package = read(source("hello", "2.10-3", hints="any all"))
    assert (package.name, package.version, package.architectures) == ("hello", "2.10-3", ("any", "all"))
    assert [file.filename for file in package.everything] == ["hello_2.10-3.dsc", "hello_2.10-3.tar.xz"]
    assert package.files[0].size == package.files[0].path.stat().st_size


def test_a_signed_source_package_is_read(source: SourceMaker) -> None:
    assert read(source(signed=True)).name == "tiny"


def test_reading_tells_its_progress(source: SourceMaker) -> None:
    seen: list[int] = []
    package = read(source(), seen.append)
    assert sum(seen) == package.files[0].size


def test_a_named_pipe_is_no_source_package_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tiny_1.0.dsc")
    with pytest.raises(SourceRefused, match="no regular file"):
        read(tmp_path / "tiny_1.0.dsc")


@pytest.mark.parametrize("field", ["Source", "Version", "Architecture", "Checksums-Sha256"])
def test_a_missing_field_is_named(source: SourceMaker, field: str) -> None:
    with pytest.raises(SourceRefused, match=f"has no field {field}"):
        read(source(fields={field: None}))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("Source", "Tiny_Package", "Source is 'Tiny_Package'"),
        ("Version", "1.0/2", "Version is '1.0/2'"),
        ("Version", "1" * 300, "Version has 300 characters"),
        ("Source", "a" * 300, "which is not allowed there"),
        ("Architecture", "any;rm", "'any;rm'"),
        ("Checksums-Sha256", "\n cafe 1 tiny.tar.xz", "no line of hash, size and name"),
        ("Checksums-Sha256", f"\n {'0' * 64} -1 tiny.tar.xz", "no line of hash, size and name"),
        ("Checksums-Sha256", f"\n {'0' * 64} {'9' * 30} tiny.tar.xz", "too large"),
        ("Checksums-Sha256", f"\n {'0' * 64} 1 ../../etc/passwd", "'../../etc/passwd': a path is not allowed"),
        ("Checksums-Sha256", f"\n {'0' * 64} 1 ..", "'..': a path is not allowed"),
        ("Checksums-Sha256", f"\n {'0' * 64} 1 /etc/passwd", "'/etc/passwd': a path is not allowed"),
        ("Checksums-Sha256", f"\n {'0' * 64} 1 -rf", "'-rf', which is not allowed"),
        ("Checksums-Sha256", f"\n {'0' * 64} 1 tiny_1.0.dsc", "tiny_1.0.dsc twice"),
        ("Files", "\n 0000 1 other.tar.xz", "'other.tar.xz' is missing from the field Checksums-Sha256"),
    ],
)
def test_a_field_that_is_not_allowed_is_named(source: SourceMaker, field: str, value: str, words: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        read(source(fields={field: value}))
    assert words in str(refused.value)


def test_a_missing_file_is_named(source: SourceMaker) -> None:
    dsc = source()
    dsc.with_name("tiny_1.0.tar.xz").unlink()
    with pytest.raises(SourceRefused, match=r"tiny_1\.0\.tar\.xz is missing"):
        read(dsc)


def test_a_wrong_checksum_is_named_with_both_hashes(source: SourceMaker) -> None:
    dsc = source()
    tarball = dsc.with_name("tiny_1.0.tar.xz")
    tarball.write_bytes(tarball.read_bytes()[:-1] + b"!")
    with pytest.raises(
        SourceRefused, match=r"tiny_1\.0\.tar\.xz has the SHA-256 [0-9a-f]{64}, but .* says [0-9a-f]{64}"
    ):
        read(dsc)


def test_a_file_of_the_wrong_size_is_named(source: SourceMaker) -> None:
    dsc = source()
    with dsc.with_name("tiny_1.0.tar.xz").open("ab") as tarball:
        tarball.write(b"more")
    with pytest.raises(SourceRefused, match=r"tiny_1\.0\.tar\.xz has \d+ bytes, but tiny_1\.0\.dsc says \d+"):
        read(dsc)


@pytest.mark.parametrize(
    ("mangle", "words"),
    [
        (lambda text: text.replace("-----BEGIN PGP SIGNATURE-----", ""), "no BEGIN PGP SIGNATURE"),
        (lambda text: text.replace("-----END PGP SIGNATURE-----", ""), "no END PGP SIGNATURE"),
        (lambda text: "Source: evil\n" + text, "line 1 should be"),
        (lambda text: text + "Source: evil\n", "is not signed"),
        (lambda text: text.replace("Hash: SHA512\n\n", "Hash: SHA512\n"), "no header of the signed message"),
        (lambda text: text.replace("iHU", "i*U"), "is no base64"),
        (lambda text: text.replace("\n-----END PGP SIG", "\n=AAAA\n-----END PGP SIG"), "checksum is wrong"),
    ],
)
def test_a_broken_signature_block_is_refused(source: SourceMaker, mangle: object, words: str) -> None:
    dsc = source(signed=True)
    dsc.write_text(mangle(dsc.read_text()))  # type: ignore[operator]
    with pytest.raises(SourceRefused, match="broken signature block") as refused:
        read(dsc)
    assert words in str(refused.value)


def test_an_escaped_dash_is_read_as_the_signer_wrote_it(source: SourceMaker) -> None:
    dsc = source()
    dsc.write_text(clearsign(dsc.read_text() + "- -X: odd"))
    with pytest.raises(SourceRefused, match="'-X: odd' is no field"):
        read(dsc)


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "is empty"),
        (b"Source: t\xe9\n", "is not UTF-8: byte 0xe9 in line 1"),
        (b"Source: tiny\n\nVersion: 1\n", "more than one paragraph"),
        (b"Source: tiny\nSource: tiny\n", "Source is there twice"),
        (b" Source: tiny\n", "continues a field"),
        (b"no field\n", "'no field' is no field"),
        (b"Source: a\x00b\n", "control character"),
        (b"X" * 1_000_001, "is larger than"),
    ],
)
def test_a_file_that_is_no_dsc_is_refused(tmp_path: Path, octets: bytes, words: str) -> None:
    dsc = tmp_path / "tiny_1.0.dsc"
    dsc.write_bytes(octets)
    with pytest.raises(SourceRefused) as refused:
        read(dsc)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["absent.dsc", "a.txt"])
def test_a_path_that_is_no_dsc_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceRefused, match=name):
        read(tmp_path / name)


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good `.dsc`, with stretches of it replaced, dropped or repeated."""
    with tempfile.TemporaryDirectory() as directory:
        octets = write_source(Path(directory), signed=draw(st.booleans())).read_bytes()
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(octets)))
        end = draw(st.integers(start, min(len(octets), start + 80)))
        pieces = (st.binary(max_size=8), st.sampled_from([b"\n", b"\n\n", b":", b"-----BEGIN PGP ", b"=", b"\r", b" "]))
        octets = octets[:start] + draw(st.one_of(*pieces)) + octets[end:]
    return octets


@given(octets=st.one_of(mangled(), st.binary(max_size=300)))
@example(octets=b"-----BEGIN PGP SIGNED MESSAGE-----\n\n-----BEGIN PGP SIGNATURE-----\n-----END PGP SIGNATURE-----")
@example(octets=b"-----END PGP SIGNATURE-----\n-----BEGIN PGP SIGNATURE-----\n")
def test_whatever_the_bytes_nothing_but_a_refusal_is_raised(octets: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        dsc = write_source(Path(directory))
        dsc.write_bytes(octets)
        try:
            package = read(dsc)
        except SourceRefused as refused:
            assert "\n" not in str(refused)  # noqa: PT017 - being refused is one of two good ends
        else:
            assert all(file.path.parent == Path(directory) for file in package.everything)
