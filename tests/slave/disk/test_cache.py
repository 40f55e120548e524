"""The file cache: whole and verified files only, within its limit, never without what is in use."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.messages import ChunkAck, EnsurePresent, Present, PushFailed, PutChunk, RejectionCode
from slave.disk.cache import FileCache

LIMIT = 1000


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def push(cache: FileCache, content: bytes, *, step: int = 100, most: int | None = None) -> ChunkAck | PushFailed | None:
    """Push as a master does; stop after `most` chunks."""
    sha256 = hash_of(content)
    present = cache.look_up(EnsurePresent(1, sha256, len(content)))
    if present.have:
        return ChunkAck(sha256, len(content))
    answer: ChunkAck | PushFailed | None = None
    offset, sent = present.offset, 0
    while (most is None or sent < most) and (offset < len(content) or answer is None):
        answer = cache.store(PutChunk(sha256, offset, content[offset : offset + step]))
        if not isinstance(answer, ChunkAck):
            return answer
        offset, sent = answer.offset, sent + 1
    return answer


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path, LIMIT)


def test_a_file_that_was_pushed_is_here_and_its_content_is_right(cache: FileCache) -> None:
    content = os.urandom(250)
    assert push(cache, content) == ChunkAck(hash_of(content), 250)
    assert cache.look_up(EnsurePresent(2, hash_of(content), 250)) == Present(2, have=True)
    assert cache.path(hash_of(content)).read_bytes() == content
    assert cache.missing([hash_of(content), "0" * 64]) == {"0" * 64}


def test_an_empty_file_can_be_pushed(cache: FileCache) -> None:
    assert push(cache, b"") == ChunkAck(hash_of(b""), 0)
    assert cache.missing([hash_of(b"")]) == frozenset()


def test_a_file_with_the_wrong_hash_is_refused_and_nothing_is_left(cache: FileCache, tmp_path: Path) -> None:
    sha256 = hash_of(b"right")
    cache.look_up(EnsurePresent(1, sha256, 5))
    answer = cache.store(PutChunk(sha256, 0, b"wrong"))
    assert isinstance(answer, PushFailed)
    assert answer.code is RejectionCode.HASH_MISMATCH
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert cache.store(PutChunk(sha256, 5, b"more")) is None, "what follows a refusal is ignored"


@pytest.mark.parametrize(("offset", "data"), [(3, b"abc"), (0, b"abcdef"), (0, b"")])
def test_bytes_that_do_not_belong_there_are_refused(cache: FileCache, offset: int, data: bytes) -> None:
    sha256 = hash_of(b"right")
    cache.look_up(EnsurePresent(1, sha256, 5))
    answer = cache.store(PutChunk(sha256, offset, data))
    assert isinstance(answer, PushFailed)
    assert answer.code is RejectionCode.BAD_OFFSET


def test_a_chunk_that_nobody_announced_is_ignored(cache: FileCache) -> None:
    assert cache.store(PutChunk("0" * 64, 0, b"x")) is None
    assert cache.size == 0


def test_a_push_goes_on_where_it_stopped_also_after_a_restart(cache: FileCache, tmp_path: Path) -> None:
    content = os.urandom(450)
    push(cache, content, most=2)
    assert cache.look_up(EnsurePresent(2, hash_of(content), 450)).offset == 200
    cache.close()
    again = FileCache(tmp_path, LIMIT)
    assert again.look_up(EnsurePresent(3, hash_of(content), 450)) == Present(3, have=False, offset=200)
    assert push(again, content) == ChunkAck(hash_of(content), 450)
    assert again.path(hash_of(content)).read_bytes() == content


def test_a_whole_part_that_was_not_verified_before_a_restart_is_verified_after_it(
    cache: FileCache, tmp_path: Path
) -> None:
    content, sha256 = b"whole", hash_of(b"whole")
    cache.close()
    (tmp_path / "incoming" / f"{sha256}.5").write_bytes(content)
    again = FileCache(tmp_path, LIMIT)
    assert again.look_up(EnsurePresent(1, sha256, 5)).offset == 5
    assert again.store(PutChunk(sha256, 5, b"")) == ChunkAck(sha256, 5)


def test_a_part_of_another_size_is_not_gone_on_with(cache: FileCache) -> None:
    sha256 = hash_of(b"whatever")
    cache.look_up(EnsurePresent(1, sha256, 8))
    cache.store(PutChunk(sha256, 0, b"what"))
    assert cache.look_up(EnsurePresent(2, sha256, 9)).offset == 0
    assert cache.size == 0


def test_what_was_used_longest_ago_goes_first(cache: FileCache, tmp_path: Path) -> None:
    old, middle, new, large = (bytes([digit]) * 300 for digit in range(4))
    for content in (old, middle, new):
        push(cache, content)
    cache.use([])
    cache.look_up(EnsurePresent(1, hash_of(old), 300))
    cache.use([])
    assert isinstance(push(cache, large), ChunkAck)
    assert cache.missing([hash_of(content) for content in (old, middle, new, large)]) == {hash_of(middle)}
    assert cache.size <= LIMIT
    assert FileCache(tmp_path, LIMIT).missing([hash_of(old)]) == frozenset()


def test_what_a_build_uses_is_never_evicted(cache: FileCache) -> None:
    used, other, large = b"u" * 400, b"o" * 400, b"l" * 700
    push(cache, used)
    push(cache, other)
    cache.use([hash_of(used)])
    answer = push(cache, large)
    assert isinstance(answer, PushFailed)
    assert answer.code is RejectionCode.NO_SPACE
    assert "limit" in answer.text
    assert cache.missing([hash_of(used), hash_of(other)]) == frozenset(), "nothing went in vain"
    cache.use([])
    assert isinstance(push(cache, large), ChunkAck)


def test_what_was_asked_for_stays_until_a_build_begins(cache: FileCache) -> None:
    chroot, source = b"c" * 600, b"s" * 600
    push(cache, chroot)
    assert isinstance(push(cache, source), PushFailed), "the chroot of the same build must not go for its source"
    cache.use([])
    assert isinstance(push(cache, source), ChunkAck)


def test_two_pushes_at_a_time_do_not_share_the_same_room(cache: FileCache) -> None:
    first, second = b"1" * 900, b"2" * 600
    push(cache, first, most=1)
    push(cache, second, most=1)
    push(cache, first)
    push(cache, second)
    assert cache.size <= LIMIT


def test_an_abandoned_part_goes_before_any_whole_file(cache: FileCache, tmp_path: Path) -> None:
    whole, part, new = b"w" * 400, b"p" * 500, b"n" * 300
    push(cache, whole)
    push(cache, part, most=4)
    cache.close()
    again = FileCache(tmp_path, LIMIT)
    assert isinstance(push(again, new), ChunkAck)
    assert again.missing([hash_of(whole), hash_of(new)]) == frozenset()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_fails_the_push_and_nothing_is_left(
    cache: FileCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    content = os.urandom(250)
    push(cache, content, most=1)

    def full(_descriptor: int, _data: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", full)
    answer = push(cache, content)
    monkeypatch.undo()
    assert isinstance(answer, PushFailed)
    assert answer.code is RejectionCode.NO_SPACE
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert isinstance(push(cache, content), ChunkAck), "with room again it can be pushed again"


class AnyPushes(RuleBasedStateMachine):
    """Pushes, breaks, restarts, builds in any order, with contents that do not all fit."""

    contents = tuple(bytes([number]) * size for number, size in enumerate((0, 1, 150, 150, 300, 600, 999, 1001)))
    which = st.sampled_from(contents)

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.cache = FileCache(self.directory, LIMIT)
        self.in_use: set[str] = set()

    def teardown(self) -> None:
        self.cache.close()
        shutil.rmtree(self.directory)

    @rule(content=which, step=st.integers(1, 400), most=st.none() | st.integers(1, 3))
    def push_some(self, content: bytes, step: int, most: int | None) -> None:
        answer = push(self.cache, content, step=step, most=most)
        if isinstance(answer, ChunkAck) and answer.offset == len(content):
            assert self.cache.missing([hash_of(content)]) == frozenset()

    @rule(content=which, offset=st.integers(0, 1001), data=st.binary(max_size=30))
    def push_nonsense(self, content: bytes, offset: int, data: bytes) -> None:
        self.cache.store(PutChunk(hash_of(content), offset, data))

    @rule(wanted=st.sets(which, max_size=2))
    def build_with(self, wanted: set[bytes]) -> None:
        hashes = {hash_of(content) for content in wanted}
        if not self.cache.missing(hashes):
            self.cache.use(hashes)
            self.in_use = hashes

    @rule()
    def end_the_build(self) -> None:
        self.cache.release()
        self.in_use = set()

    @rule()
    def restart(self) -> None:
        self.cache.close()
        self.cache = FileCache(self.directory, LIMIT)
        self.in_use = set()

    @invariant()
    def it_is_within_its_limit(self) -> None:
        assert self.cache.size <= LIMIT
        assert self.cache.size == sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())

    @invariant()
    def every_whole_file_is_what_its_name_says(self) -> None:
        for path in (self.directory / "files").iterdir():
            assert hash_of(path.read_bytes()) == path.name

    @invariant()
    def what_is_in_use_is_here(self) -> None:
        assert all(self.cache.path(sha256).exists() for sha256 in self.in_use)


test_any_pushes = AnyPushes.TestCase
test_any_pushes.settings = settings(stateful_step_count=25)  # each push is synced to the disk
