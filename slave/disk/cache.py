"""The file cache: content by SHA-256, up to a limit; what was used longest ago goes first, what is in use never.

Layout: `files/<sha256>` are whole and verified, `incoming/<sha256>.<size>` are what a push has brought so far.  Both
survive a restart.  A file becomes visible by fsync and rename, after its hash was verified.

Synchronous and thread-safe: the daemon calls it from worker threads, for hashing and fsync take their time.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from protocol.errors import RemoteProtocolError
from protocol.messages import ChunkAck, EnsurePresent, Present, PushFailed, PutChunk, RejectionCode
from protocol.transfer import Incoming
from slave.core.build_args import SHA256

READ_BYTES = 1 << 20
MOST_ARRIVING = 64  #: pushes at a time; beyond, the one begun first is closed (and may go on later)
SPARE_BYTES = 64 << 20  #: a push leaves so much of the disk free, for log and state

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}


@dataclass(slots=True)
class _Arriving:
    """A push under way."""

    path: Path
    incoming: Incoming
    descriptor: int | None = None  #: open from the first chunk on
    hashed: hashlib._Hash = field(default_factory=hashlib.sha256)

    def close(self) -> None:
        """Let go of the file; what has arrived stays."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class FileCache:
    """What the slave keeps of what masters pushed.

    Args:
        directory: made if it is not there; nobody else writes there.
        limit: bytes, of whole files and of parts.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self.limit = limit
        self._files = directory / "files"
        self._incoming = directory / "incoming"
        for place in (self._files, self._incoming):
            place.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}  # whole files, longest unused first
        self._arriving: dict[str, _Arriving] = {}
        self._wanted: set[str] = set()  # asked for, for a build to come
        self._in_use: frozenset[str] = frozenset()  # by the build that runs
        self._read_back()

    # -- what a master asks ------------------------------------------------------------------------------------------
    def look_up(self, request: EnsurePresent) -> Present:
        """Say whether the file is here, or from where on it is to be pushed."""
        with self._lock:
            if request.sha256 in self._sizes:
                self._touch(request.sha256)
                self._wanted.add(request.sha256)
                return Present(request.id, have=True)
            arriving = self._arriving.get(request.sha256)
            if arriving is None or arriving.incoming.size != request.size:
                self._forget(request.sha256)
                arriving = self._begin(request.sha256, request.size)
            return Present(request.id, have=False, offset=arriving.incoming.offset)

    def store(self, chunk: PutChunk) -> ChunkAck | PushFailed | None:
        """Keep a chunk, and verify the file if it is the last; None for what nobody asked for, or follows a refusal."""
        with self._lock:
            arriving = self._arriving.get(chunk.sha256)
            if arriving is None:
                return None
            try:
                if arriving.descriptor is None:
                    no_room = self._open(arriving)
                    if no_room is not None:
                        return self._failed(chunk.sha256, RejectionCode.NO_SPACE, no_room)
                arriving.incoming.accept(chunk.offset, chunk.data)
                self._append(arriving, chunk.data)
                if arriving.incoming.complete:
                    return self._finish(chunk.sha256, arriving)
            except RemoteProtocolError as wrong:
                return self._failed(chunk.sha256, RejectionCode.BAD_OFFSET, str(wrong))
            except OSError as wrong:
                text = _FULL.get(wrong.errno or 0, f"cannot be stored: {wrong.strerror}")
                return self._failed(chunk.sha256, RejectionCode.NO_SPACE, text)
            return ChunkAck(chunk.sha256, arriving.incoming.offset)

    def missing(self, hashes: Collection[str]) -> frozenset[str]:
        """Return which of `hashes` are not here; the others are kept until the next `use`."""
        with self._lock:
            here = {sha256 for sha256 in hashes if sha256 in self._sizes}
            self._wanted |= here
            for sha256 in here:
                self._touch(sha256)
            return frozenset(hashes) - here

    # -- what the slave itself asks ----------------------------------------------------------------------------------
    def use(self, hashes: Collection[str]) -> None:
        """Keep these files until `release`: a build has begun.  What was asked for before is kept no longer."""
        with self._lock:
            self._in_use = frozenset(hashes)
            self._wanted.clear()

    def release(self) -> None:
        """The build has ended; what was asked for since it began is kept for the next one."""
        with self._lock:
            self._in_use = frozenset()

    def path(self, sha256: str) -> Path:
        """Return where the file is; only for what `missing` did not name."""
        return self._files / sha256

    @property
    def hashes(self) -> frozenset[str]:
        """Of the whole files."""
        with self._lock:
            return frozenset(self._sizes)

    @property
    def size(self) -> int:
        """Bytes of all whole files and parts."""
        with self._lock:
            return self._used()

    def close(self) -> None:
        """Let go of all files; what has arrived stays for the next start."""
        with self._lock:
            for arriving in self._arriving.values():
                arriving.close()
            self._arriving.clear()

    # -- inside, with the lock held ----------------------------------------------------------------------------------
    def _read_back(self) -> None:
        """Find what an earlier life has left."""
        found = [(entry.stat().st_mtime_ns, entry.name, entry.stat().st_size) for entry in self._files.iterdir()]
        self._sizes = {name: size for _, name, size in sorted(found) if SHA256.fullmatch(name)}

    def _begin(self, sha256: str, size: int) -> _Arriving:
        """Go on with what there is of the file, or begin it."""
        while len(self._arriving) >= MOST_ARRIVING:
            self._arriving.pop(next(iter(self._arriving))).close()
        path = self._incoming / f"{sha256}.{size}"
        for stale in self._incoming.glob(f"{sha256}.*"):
            if stale != path:
                stale.unlink()
        offset = path.stat().st_size if path.exists() else 0
        if offset > size:
            path.unlink()
            offset = 0
        arriving = self._arriving[sha256] = _Arriving(path, Incoming(size, offset))
        return arriving

    def _open(self, arriving: _Arriving) -> str | None:
        """Open the part; return why it has no room, if it has none."""
        remaining = arriving.incoming.size - arriving.incoming.offset
        no_room = self._make_room(remaining, arriving.path)
        if no_room is not None:
            return no_room
        arriving.descriptor = os.open(arriving.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(os.dup(arriving.descriptor), "rb", buffering=0) as part:
            while piece := part.read(READ_BYTES):
                arriving.hashed.update(piece)
        return None

    def _append(self, arriving: _Arriving, data: bytes) -> None:
        if arriving.descriptor is None:
            raise OSError(errno.EBADF, "the part is not open")
        view = memoryview(data)
        while view:
            view = view[os.write(arriving.descriptor, view) :]
        arriving.hashed.update(data)

    def _finish(self, sha256: str, arriving: _Arriving) -> ChunkAck | PushFailed:
        found = arriving.hashed.hexdigest()
        if found != sha256:
            return self._failed(sha256, RejectionCode.HASH_MISMATCH, f"what arrived has the SHA-256 {found}")
        if arriving.descriptor is not None:
            os.fsync(arriving.descriptor)
        arriving.path.rename(self._files / sha256)
        _sync_directory(self._files)
        arriving.close()
        del self._arriving[sha256]
        self._sizes[sha256] = arriving.incoming.size
        self._wanted.add(sha256)
        return ChunkAck(sha256, arriving.incoming.size)

    def _failed(self, sha256: str, code: RejectionCode, text: str) -> PushFailed:
        self._forget(sha256)
        return PushFailed(sha256, code, text)

    def _forget(self, sha256: str) -> None:
        """Drop a push and all it has brought."""
        arriving = self._arriving.pop(sha256, None)
        if arriving is not None:
            arriving.close()
            arriving.path.unlink(missing_ok=True)

    def _touch(self, sha256: str) -> None:
        """Note that the file was used just now, on the disk as well."""
        self._sizes[sha256] = self._sizes.pop(sha256)
        with contextlib.suppress(OSError):  # the order of eviction after a restart is worth no failure
            os.utime(self._files / sha256)

    def _used(self) -> int:
        return sum(self._sizes.values()) + sum(part.stat().st_size for part in self._incoming.iterdir())

    def _make_room(self, needed: int, keep: Path) -> str | None:
        """Evict until `needed` bytes more fit; return why they never will, if so."""
        parts = sorted(self._incoming.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        others = [part for part in parts if part != keep]
        abandoned = [part for part in others if _hash_of(part) not in self._arriving]
        unused = [sha256 for sha256 in self._sizes if sha256 not in self._in_use and sha256 not in self._wanted]
        evictions: list[Callable[[], None]] = [
            *(part.unlink for part in abandoned),
            *(partial(self._evict, sha256) for sha256 in unused),
            *(partial(self._forget, _hash_of(part)) for part in others if part not in abandoned),
        ]
        freed = sum(part.stat().st_size for part in others) + sum(self._sizes[sha256] for sha256 in unused)
        if self._used() - freed + needed > self.limit:
            held = self._used() - freed
            return f"{needed} bytes more do not fit the cache: its limit is {self.limit}, {held} are in use"
        for evict in evictions:
            if self._fits(needed):
                return None
            evict()
        if self._fits(needed):
            return None
        return f"{needed} bytes more do not fit the disk: {self._disk_free()} are free"

    def _evict(self, sha256: str) -> None:
        (self._files / sha256).unlink()
        del self._sizes[sha256]

    def _fits(self, needed: int) -> bool:
        """Say whether `needed` bytes more fit beside what other open pushes were promised."""
        opened = (arriving.incoming for arriving in self._arriving.values() if arriving.descriptor is not None)
        needed += sum(incoming.size - incoming.offset for incoming in opened)
        return self._used() + needed <= self.limit and needed + SPARE_BYTES <= self._disk_free()

    def _disk_free(self) -> int:
        stat = os.statvfs(self._files)
        return stat.f_bavail * stat.f_frsize


def _hash_of(part: Path) -> str:
    return part.name.partition(".")[0]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
