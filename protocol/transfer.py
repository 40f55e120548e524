"""Files on the wire, without files and without a wire: which bytes go next, and do these bytes belong here.

    Push      master's side of a push: spans to read and send as `PutChunk`, at most `WINDOW` unacknowledged
    Incoming  slave's side of a push, master's side of a fetch or a log: bytes arrive in order and within bounds
    spans     slave's side of a fetch: what to read and send as `FetchData`

Content is verified (SHA-256) by whoever stores it.  After a broken connection a new `Push` starts at the offset that
`Present` names, a new `Fetch` at `Incoming.offset`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.messages import CHUNK, WINDOW


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file to read and send."""

    offset: int
    length: int  #: bytes; 0 only for the one span of a file that has no bytes left to send
    last: bool  #: it ends the file


def spans(size: int, offset: int = 0) -> Iterator[Span]:
    """Yield the spans of a file of `size` bytes from `offset` on; always at least one, which may be empty.

    Raises:
        LocalProtocolError: `offset` is not within the file.
    """
    if not 0 <= offset <= size:
        raise LocalProtocolError(f"offset {offset} is outside of a file of {size} bytes")
    while True:
        length = min(CHUNK, size - offset)
        last = offset + length == size
        yield Span(offset, length, last)
        offset += length
        if last:
            return


class Push:
    """A file on its way to the slave.  It has always at least one chunk, so that the slave has an occasion to verify."""

    def __init__(self, sha256: str, size: int, offset: int = 0) -> None:
        """Begin at `offset`, as `Present` named it.

        Raises:
            RemoteProtocolError: the slave claims to hold more of the file than there is.
        """
        if not 0 <= offset <= size:
            raise RemoteProtocolError(f"slave claims {offset} bytes of {sha256}, which has {size}")
        self.sha256 = sha256
        self.size = size  #: bytes
        self.acknowledged = offset  #: everything before it is stored at the slave
        self.done = False  #: the slave has all of it and has verified it
        self._waiting: list[int] = []  # ends of the chunks on their way, in order
        self._spans: Iterator[Span] | None = spans(size, offset)

    def take(self) -> Span | None:
        """Return the next span to send now, or None: all is sent, or the window is full.  Sending it is up to you."""
        if self._spans is None or len(self._waiting) >= WINDOW:
            return None
        span = next(self._spans)
        self._waiting.append(span.offset + span.length)
        if span.last:
            self._spans = None
        return span

    def acked(self, offset: int) -> None:
        """Take a `ChunkAck`; acknowledging one chunk acknowledges those before it.

        Raises:
            RemoteProtocolError: no chunk on its way ends at `offset`.
        """
        if offset not in self._waiting:
            raise RemoteProtocolError(f"acknowledged byte {offset} of {self.sha256}, where no chunk on its way ends")
        del self._waiting[: self._waiting.index(offset) + 1]
        self.acknowledged = offset
        self.done = offset == self.size


class Incoming:
    """A file, or a log, that arrives in order."""

    def __init__(self, size: int, offset: int = 0) -> None:
        """Expect bytes from `offset` on.

        Args:
            size: bytes of the whole; of a log, whose size nobody knows yet, the most that is allowed.
            offset: bytes that are already here.
        """
        if not 0 <= offset <= size:
            raise LocalProtocolError(f"offset {offset} is outside of a file of {size} bytes")
        self.size = size
        self.offset = offset  #: everything before it has arrived

    @property
    def complete(self) -> bool:
        """True once every byte has arrived."""
        return self.offset == self.size

    def accept(self, offset: int, data: bytes, *, last: bool | None = None) -> None:
        """Count `data` as arrived; the caller stores it.

        Args:
            offset: where the sender says that `data` belongs.
            data: the bytes.
            last: the sender says whether they end the file; None where the message has no such flag.

        Raises:
            RemoteProtocolError: a gap, bytes twice, bytes beyond the end, an end that comes early or not at all, or
                nothing where something was due; nothing was counted.
        """
        end = offset + len(data)
        if offset != self.offset:
            raise RemoteProtocolError(f"bytes from {offset} on, where {self.offset} was due")
        if end > self.size:
            raise RemoteProtocolError(f"bytes up to {end} of a file that has {self.size}")
        if not data and end != self.size:
            raise RemoteProtocolError(f"no bytes at {offset} of a file that has {self.size}")
        if last is not None and last != (end == self.size):
            said = "ends" if last else "goes on"
            raise RemoteProtocolError(f"it {said} at byte {end} of a file that has {self.size}")
        self.offset = end
