"""Look over the bytes of one msgpack map before any of it becomes an object.

msgpack can bound one string or one list, but not how deep they nest, nor what all of them take together: a frame of
1 MiB could ask for 60 MiB of empty lists.  `survey` walks the bytes, takes no memory, and stops at the first thing
that a message of ours never holds.  What the values mean is the business of `protocol.codec`.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import RemoteProtocolError
from protocol.messages import CHUNK

MAX_DEPTH = 4  #: `Welcome` → status → files → one file
MAX_ENTRIES = 1024  #: entries of one list or map: result files, dependencies, source files
MAX_VALUES = 8192  #: values and keys in one frame: 1024 result files of 7 each, and what stands around them
MAX_STRING = 4096  #: bytes of one string
MAX_STRINGS = 384 * 1024  #: bytes of all strings of a frame; each may take four times as much once decoded
MAX_BINARY = CHUNK  #: bytes of all binary values of a frame; no message has two


@dataclass(frozen=True, slots=True)
class _Kind:
    """What one first byte announces."""

    what: str  #: `plain`, `string`, `binary`, `list`, `map`, or empty for what is never used
    fixed: int  #: bytes that follow, or entries, when the first byte says it all
    width: int = 0  #: bytes of the length that follows; 0: see `fixed`


def _kinds() -> tuple[_Kind, ...]:
    """Return the meaning of each of the 256 first bytes, as the msgpack specification lists them."""
    refused = _Kind("", 0)
    kinds = [_Kind("plain", 0)] * 0x80
    kinds += [_Kind("map", n) for n in range(16)]
    kinds += [_Kind("list", n) for n in range(16)]
    kinds += [_Kind("string", n) for n in range(32)]
    kinds += [_Kind("plain", 0), refused, _Kind("plain", 0), _Kind("plain", 0)]
    kinds += [_Kind("binary", 0, width) for width in (1, 2, 4)]
    kinds += [refused] * 3
    kinds += [_Kind("plain", size) for size in (4, 8, 1, 2, 4, 8, 1, 2, 4, 8)]
    kinds += [refused] * 5
    kinds += [_Kind("string", 0, width) for width in (1, 2, 4)]
    kinds += [_Kind("list", 0, width) for width in (2, 4)]
    kinds += [_Kind("map", 0, width) for width in (2, 4)]
    kinds += [_Kind("plain", 0)] * 32
    return tuple(kinds)


_KINDS = _kinds()


def survey(payload: bytes | memoryview) -> None:
    """Check that `payload` is one msgpack map within all limits.

    Raises:
        RemoteProtocolError: it is not; the text names the limit and the byte.
    """
    if not payload or _KINDS[payload[0]].what != "map":
        message = "the frame is empty" if not payload else f"the frame holds no map: it begins with 0x{payload[0]:02x}"
        raise RemoteProtocolError(message)
    at = values = strings = binaries = 0
    open_ends: list[int] = []  # for each container around us, how many values it still waits for
    while True:
        kind, length, after = _announced(payload, at)
        values += 1
        if values > MAX_VALUES:
            raise RemoteProtocolError(f"more than {MAX_VALUES} values in one frame")
        if kind in {"map", "list"}:
            if len(open_ends) >= MAX_DEPTH:
                raise RemoteProtocolError(f"lists and maps are nested deeper than {MAX_DEPTH} at byte {at}")
            open_ends.append(2 * length if kind == "map" else length)
            at = after
        else:
            strings += length if kind == "string" else 0
            binaries += length if kind == "binary" else 0
            if strings > MAX_STRINGS or binaries > MAX_BINARY:
                raise RemoteProtocolError(
                    f"{kind} values of more than {MAX_STRINGS} or {MAX_BINARY} bytes in one frame"
                )
            at = after + length
            open_ends[-1] -= 1
        while open_ends and open_ends[-1] == 0:
            open_ends.pop()
            if open_ends:
                open_ends[-1] -= 1
        if not open_ends:
            break
    if at != len(payload):
        raise RemoteProtocolError(f"{len(payload) - at} bytes follow the map in its frame")


def _announced(payload: bytes | memoryview, at: int) -> tuple[str, int, int]:
    """Return what begins at byte `at`: its kind, its length (bytes, or entries) and where its content begins."""
    if at >= len(payload):
        raise RemoteProtocolError(f"the frame ends at byte {at}, inside its map")
    kind = _KINDS[payload[at]]
    after = at + 1 + kind.width
    length = int.from_bytes(payload[at + 1 : after], "big") if kind.width else kind.fixed
    match kind.what:
        case "":
            raise RemoteProtocolError(f"byte 0x{payload[at]:02x} at {at} begins nothing that our messages use")
        case "string":
            limit = MAX_STRING
        case "binary":
            limit = MAX_BINARY
        case "list" | "map":
            limit = MAX_ENTRIES
        case _:
            limit = 8
    if length > limit:
        raise RemoteProtocolError(f"{kind.what} of {length} at byte {at}; at most {limit}")
    needed = after if kind.what in {"list", "map"} else after + length
    if needed > len(payload):
        raise RemoteProtocolError(f"the frame ends inside the {kind.what or 'value'} that begins at byte {at}")
    return kind.what, length, after
