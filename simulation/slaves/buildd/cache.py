"""The file cache of a simulated slave: in memory, resumable, verified."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from protocol.errors import RemoteProtocolError
from protocol.messages import ChunkAck, EnsurePresent, Present, PushFailed, PutChunk, RejectionCode
from protocol.transfer import Incoming


@dataclass(slots=True)
class _Arriving:
    """A file being pushed."""

    incoming: Incoming
    content: bytearray


class Cache:
    """Files that were pushed, whole or in part."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.files: dict[str, bytes] = {}  #: by SHA-256
        self._arriving: dict[str, _Arriving] = {}

    @property
    def size(self) -> int:
        """Bytes of all whole files."""
        return sum(map(len, self.files.values()))

    def look_up(self, request: EnsurePresent, *, has_everything: bool) -> Present:
        """Return whether the file is here, or from where on it is to be pushed."""
        if has_everything or request.sha256 in self.files:
            return Present(request.id, have=True)
        arriving = self._arriving.get(request.sha256)
        if arriving is None or arriving.incoming.size != request.size:
            arriving = self._arriving[request.sha256] = _Arriving(Incoming(request.size), bytearray())
        return Present(request.id, have=False, offset=arriving.incoming.offset)

    def store(self, chunk: PutChunk, free: int) -> ChunkAck | PushFailed | None:
        """Keep a chunk and return the answer; None for what follows a chunk that was refused.

        Args:
            chunk: the next bytes of a file that was looked up.
            free: bytes that the cache may still grow by.
        """
        arriving = self._arriving.get(chunk.sha256)
        if arriving is None:
            return None
        if arriving.incoming.size > free:
            text = f"{arriving.incoming.size} bytes, but only {free} are free"
            return self._refused(chunk.sha256, RejectionCode.NO_SPACE, text)
        try:
            arriving.incoming.accept(chunk.offset, chunk.data)
        except RemoteProtocolError as error:
            return self._refused(chunk.sha256, RejectionCode.BAD_OFFSET, str(error))
        arriving.content += chunk.data
        if arriving.incoming.complete:
            found = hashlib.sha256(arriving.content).hexdigest()
            if found != chunk.sha256:
                return self._refused(chunk.sha256, RejectionCode.HASH_MISMATCH, f"what arrived has SHA-256 {found}")
            self.files[found] = bytes(arriving.content)
            del self._arriving[found]
        return ChunkAck(chunk.sha256, arriving.incoming.offset)

    def _refused(self, sha256: str, code: RejectionCode, text: str) -> PushFailed:
        del self._arriving[sha256]
        return PushFailed(sha256, code, text)
