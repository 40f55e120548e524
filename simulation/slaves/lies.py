"""What a slave says that is not so: on real sockets (`simulation.slaves.script.Twist`), and in virtual time by its name.

Each changes one kind of message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from protocol.messages import (
    Accepted,
    ChunkAck,
    EchoReply,
    FetchData,
    Present,
    ResultFile,
    SlaveMessage,
    Status,
    Welcome,
)

OTHER_ATTEMPT = "00000000-0000-4000-8000-00000000dead"


def wrong_attempt(status: Status) -> Status:
    """Name an attempt that nobody ordered."""
    return replace(status, attempt=OTHER_ATTEMPT) if status.attempt else status


def wrong_hash(status: Status) -> Status:
    """Announce results by other hashes than they have."""
    return replace(status, files=tuple(replace(file, sha256="00" * 32) for file in status.files))


def wrong_size(status: Status) -> Status:
    """Announce results one byte longer than they are."""
    return replace(status, files=tuple(replace(file, size=file.size + 1) for file in status.files))


def no_results(status: Status) -> Status:
    """Say that all is well, and have nothing to show."""
    return replace(status, files=())


def a_path_for_a_name(status: Status) -> Status:
    """Announce a result that would be written elsewhere; our own codec refuses to say it, see `SimulatedSlave`."""
    return replace(status, files=(ResultFile("../../etc/passwd", 1, "00" * 32),))


def other_bytes(piece: FetchData) -> FetchData:
    """Send other bytes than were announced."""
    return replace(piece, data=bytes(byte ^ 1 for byte in piece.data))


def wrong_architecture(welcome: Welcome) -> Welcome:
    """Be a machine of another kind."""
    return replace(welcome, architectures=("s390x",))


def wrong_version(welcome: Welcome) -> Welcome:
    """Choose a protocol version that nobody offered."""
    return replace(welcome, version=99)


def wrong_offset(acknowledged: ChunkAck) -> ChunkAck:
    """Acknowledge bytes that were never sent."""
    return replace(acknowledged, offset=acknowledged.offset + 1)


def wrong_number(answer: Accepted | Present | EchoReply) -> SlaveMessage:
    """Answer a request that was never made."""
    return replace(answer, id=answer.id + 1000)


def wrong_echo(reply: EchoReply) -> EchoReply:
    """Answer a probe with something else."""
    return replace(reply, data=reply.data[::-1] + b"?")


#: manner → the lie, and the kinds of messages that it changes
LIES: Final[Mapping[str, tuple[Callable[[Any], SlaveMessage], tuple[type[SlaveMessage], ...]]]] = {
    lie.__name__: (lie, of)
    for lie, of in (
        (wrong_attempt, (Status,)),
        (wrong_hash, (Status,)),
        (wrong_size, (Status,)),
        (no_results, (Status,)),
        (other_bytes, (FetchData,)),
        (wrong_architecture, (Welcome,)),
        (wrong_version, (Welcome,)),
        (wrong_offset, (ChunkAck,)),
        (wrong_number, (Accepted, Present, EchoReply)),
        (wrong_echo, (EchoReply,)),
    )
}


def lie_of(manner: str) -> Callable[[SlaveMessage], SlaveMessage]:
    """Return what a slave that lies in this manner makes of what it says."""
    lie, of = LIES[manner]

    def told(message: SlaveMessage) -> SlaveMessage:
        return lie(message) if type(message) in of else message

    return told
