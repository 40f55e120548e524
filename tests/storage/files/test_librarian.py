"""The librarian stores whole files under their hashes, or nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.files.librarian import ContentMismatch, Librarian, LibrarianUnwritable, NoSuchContent

CONTENT = b"a chroot, or so it says\n" * 1000


@pytest.fixture
def librarian(tmp_path: Path) -> Librarian:
    return Librarian(tmp_path / "librarian")


def files_below(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def test_content_comes_back_under_its_hash(librarian: Librarian) -> None:
    stored = librarian.add_bytes(CONTENT)
    assert stored.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert stored.sha1 == hashlib.sha1(CONTENT).hexdigest()
    assert stored.size == len(CONTENT)
    assert librarian.path(stored.sha256).read_bytes() == CONTENT


def test_the_same_content_is_stored_once(librarian: Librarian) -> None:
    librarian.add_bytes(CONTENT)
    librarian.add_bytes(CONTENT)
    assert len(files_below(librarian.directory)) == 1


def test_a_file_is_copied_with_its_progress(librarian: Librarian, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    seen: list[int] = []
    assert librarian.add_file(source, progress=seen.append).size == len(CONTENT)
    assert seen == [len(CONTENT)]


@given(pieces=st.lists(st.binary(max_size=200), max_size=20))
def test_any_pieces_give_the_content_of_their_sum(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    librarian = Librarian(tmp_path_factory.getbasetemp() / "pieces")
    with librarian.incoming() as file:
        for piece in pieces:
            file.write(piece)
        stored = file.commit()
    assert librarian.path(stored.sha256).read_bytes() == b"".join(pieces)


def test_content_of_another_hash_is_refused_and_leaves_nothing(librarian: Librarian) -> None:
    file = librarian.incoming(expect_sha256="0" * 64)
    file.write(CONTENT)
    with pytest.raises(ContentMismatch, match="was announced"):
        file.commit()
    assert files_below(librarian.directory) == []


def test_less_than_announced_is_refused_and_leaves_nothing(librarian: Librarian) -> None:
    file = librarian.incoming(expect_size=len(CONTENT) + 1)
    file.write(CONTENT)
    with pytest.raises(ContentMismatch, match=f"{len(CONTENT)} bytes arrived"):
        file.commit()
    assert files_below(librarian.directory) == []


def test_more_than_announced_is_refused_at_once(librarian: Librarian) -> None:
    file = librarian.incoming(expect_size=10)
    with pytest.raises(ContentMismatch, match="more than the announced 10 bytes"):
        file.write(CONTENT)
    assert files_below(librarian.directory) == []


def test_what_is_not_committed_leaves_nothing(librarian: Librarian) -> None:
    with librarian.incoming() as file:
        file.write(CONTENT)
    assert files_below(librarian.directory) == []


def test_a_second_commit_of_the_same_content_leaves_nothing_behind(librarian: Librarian) -> None:
    librarian.add_bytes(CONTENT)
    file = librarian.incoming()
    file.write(CONTENT)
    file.commit()
    assert len(files_below(librarian.directory)) == 1


def test_verify_finds_a_flipped_bit_and_nothing_else(librarian: Librarian) -> None:
    librarian.add_bytes(b"another file")
    stored = librarian.add_bytes(CONTENT)
    assert list(librarian.verify()) == []
    path = librarian.path(stored.sha256)
    damaged = bytearray(CONTENT)
    damaged[777] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(damaged)
    (damage,) = librarian.verify()
    assert damage.sha256 == stored.sha256
    assert damage.found == hashlib.sha256(damaged).hexdigest()


@pytest.mark.parametrize("name", ["", "0" * 64, "../../etc/passwd", "A" * 64, "0" * 63 + "/", "./" * 32])
def test_an_unknown_or_impossible_hash_is_refused_by_name(librarian: Librarian, name: str) -> None:
    assert not librarian.has(name)
    with pytest.raises(NoSuchContent, match="has no content"):
        librarian.path(name)


def test_a_full_disk_stores_nothing_and_says_so(librarian: Librarian, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LibrarianUnwritable, match="No space left on device: make room there"):
        librarian.add_bytes(CONTENT)
    assert files_below(librarian.directory) == []


def test_leftovers_of_killed_writers_are_removed_but_open_files_stay(librarian: Librarian) -> None:
    (librarian.directory / "incoming" / "left").write_bytes(b"half a fi")
    with librarian.incoming() as file:
        file.write(CONTENT)
        assert librarian.remove_leftovers() == 1
        stored = file.commit()
    assert librarian.has(stored.sha256)


@pytest.mark.slow
def test_two_gigabytes_pass_with_less_than_64_megabytes_of_memory(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from storage.files.librarian import Librarian
source = Path(sys.argv[1]) / "big"
with source.open("wb") as file:
    file.truncate(2 * 1024**3)
stored = Librarian(Path(sys.argv[1]) / "librarian").add_file(source)
# Not ru_maxrss: that remembers the process that this one was forked from.
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(stored.size, peak)
"""
    here = Path(__file__).parent.parent.parent.parent
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(here)},
    )
    size, kilobytes = map(int, ran.stdout.split())
    assert size == 2 * 1024**3
    assert kilobytes < 64 * 1024
