"""The file cache of a slave in virtual time: sizes by hash, whole or on their way."""

from __future__ import annotations

from protocol.messages import (
    Build,
    ChunkAck,
    EnsurePresent,
    MasterMessage,
    Present,
    PushFailed,
    PutChunk,
    RejectionCode,
)


class Cache:
    """What was pushed."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._whole: dict[str, int] = {}  # SHA-256 → bytes
        self._arriving: dict[str, list[int]] = {}  # SHA-256 → bytes that are here, of how many

    def missing(self, message: MasterMessage) -> frozenset[str]:
        """Return the hashes of what a `Build` needs and is not here."""
        if not isinstance(message, Build):
            return frozenset()
        return frozenset(file for file in (*message.files.values(), message.chroot) if file not in self._whole)

    def look_up(self, request: EnsurePresent) -> Present:
        """Return whether a file is here, or from where on it is to be pushed."""
        offset = self._arriving.setdefault(request.sha256, [0, request.size])[0]
        have = request.sha256 in self._whole
        return Present(request.id, have, 0 if have else offset)

    def store(self, chunk: PutChunk, *, full: bool) -> ChunkAck | PushFailed | None:
        """Keep a chunk and return the answer; None for what follows a chunk that was refused.

        Args:
            chunk: the next bytes of a file that was looked up.
            full: the disk refuses to write.
        """
        arriving = self._arriving.get(chunk.sha256)
        if arriving is None:
            return None
        if full:
            del self._arriving[chunk.sha256]
            return PushFailed(chunk.sha256, RejectionCode.NO_SPACE, "no space left on device")
        if chunk.offset != arriving[0]:
            del self._arriving[chunk.sha256]
            return PushFailed(chunk.sha256, RejectionCode.BAD_OFFSET, f"{arriving[0]} was due")
        arriving[0] += len(chunk.data)
        if arriving[0] >= arriving[1]:
            del self._arriving[chunk.sha256]
            self._whole[chunk.sha256] = arriving[1]
        return ChunkAck(chunk.sha256, chunk.offset + len(chunk.data))

    def forget_parts(self) -> None:
        """Forget what is not whole."""
        self._arriving.clear()
