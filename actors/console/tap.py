"""A tap: copies of what an actor handles and sends, and of what its cores hear and answer, for a debug console.

Lines of JSON go to a TCP port of loopback where the console listens.  Never waits for it: what the console does not
take is kept up to `BACKLOG` bytes and then lost, and the next line says how many were.  An actor that is not tapped
has none of this; cores are wrapped while they are tapped, and unwrapped afterwards.

Each line has `kind`, `actor`, `generation`, `at` (monotonic seconds) and

| kind | and |
|---|---|
| `begun` | `pid`, `wall` (ISO 8601, of the same moment as `at`), `version` of the program |
| `handled`, `sent`, `held` | `message`, `type`, `peer` (an address: `from` whom, `to` whom) |
| `opening` | `core`, `state`: all that it knows; what follows can be replayed from here |
| `unopened` | `core`, `why` it can't be written down now: it is tried again with its next event |
| `event` | `core`, `events`, `orders`, or `error` if it raised |
| `lost` | `lines`: so many are missing here |
| `ended` | `why` |

Messages, states, events and orders are as `actors.console.lossless` writes them.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from actors.console.lossless import NotLossless, written
from actors.system.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.console.orders import Tap

BACKLOG: Final = 16 * 1024 * 1024  #: bytes that wait for a console that is slow
SHAPE: Final = 1  #: number of the lines' shape


class _Stream:
    """One console's end of a tap."""

    def __init__(self, order: Tap) -> None:
        self.order = order
        self.opened: set[str] = set()  #: cores whose state stands in the stream, all their events after it
        self.gone = False
        self._unsent: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._socket = socket.socket()
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._socket.connect_ex((LOOPBACK, order.port))
        self.put({"secret": order.secret, "shape": SHAPE})

    @property
    def behind(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._unsent) and not self.gone

    def put(self, line: dict[str, object]) -> bool:
        """Append a line; return whether there was room for it."""
        octets = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        # One line always has room when nothing waits: the state of a large core may be longer than all of the backlog.
        if self._size and self._size + len(octets) > BACKLOG:
            self._lost += 1
            self.opened.clear()
            return False
        if self._lost:
            note = {key: line.get(key) for key in ("actor", "generation", "at")}
            self._append(json.dumps({"kind": "lost", "lines": self._lost, **note}).encode() + b"\n")
            self._lost = 0
        self._append(octets)
        return True

    def _append(self, octets: bytes) -> None:
        self._unsent.append(octets)
        self._size += len(octets)
        self.flush()

    def flush(self) -> None:
        """Send what the console takes now."""
        try:
            while self._unsent and not self.gone:
                octets = self._unsent[0]
                sent = self._socket.send(octets)
                self._size -= sent
                if sent < len(octets):
                    self._unsent[0] = octets[sent:]
                    return
                self._unsent.popleft()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.close()

    def close(self) -> None:
        self.gone = True
        self._unsent.clear()
        self._socket.close()


class Taps:
    """All taps of one actor."""

    def __init__(self, actor: str, generation: int, pid: int, version: str) -> None:
        """Copy to nobody yet."""
        self._who = {"actor": actor, "generation": generation}
        self._about = {"pid": pid, "version": version}
        self._streams: list[_Stream] = []

    def __bool__(self) -> bool:
        """Return whether anybody listens."""
        return bool(self._streams)

    @property
    def behind(self) -> bool:
        """Whether something waits to be sent."""
        return any(stream.behind for stream in self._streams)

    def open(self, order: Tap) -> None:
        """Copy to one more console; asked twice, once."""
        if any(stream.order.port == order.port for stream in self._streams):
            return
        stream = _Stream(order)
        self._streams.append(stream)
        stream.put(self._line("begun", wall=datetime.now(UTC).isoformat(), **self._about))

    def close(self, port: int | None, why: str) -> None:
        """Copy no more to this port; None: to nobody."""
        for stream in self._streams:
            if port in {None, stream.order.port}:
                stream.put(self._line("ended", why=why))
                stream.close()
        self._drop_gone()

    def flush(self) -> None:
        """Send what the consoles take now."""
        for stream in self._streams:
            stream.flush()
        self._drop_gone()

    def message(self, kind: str, message: object, peer: object) -> None:
        """Copy a message; `kind` is `handled`, `sent` or `held`."""
        name = type(message).__name__
        for stream in [one for one in self._streams if not one.order.types or name in one.order.types]:
            stream.put(self._line(kind, type=name, peer=str(peer), message=_told(message)))
        self._drop_gone()

    def wrap(self, name: str, core: Any) -> Any:  # noqa: ANN401 - any core
        """Return what copies what `core` hears and answers; the core itself when nobody wants to know."""
        inner = core.inner if isinstance(core, TappedCore) else core
        if not any(stream.order.cores for stream in self._streams):
            return inner
        if isinstance(core, TappedCore):
            return core
        self.opened_anew(name)
        return TappedCore(name, inner, self)

    def opened_anew(self, name: str) -> None:
        """The core's next event is to be preceded by its state again: something else has changed it."""
        for stream in self._streams:
            stream.opened.discard(name)

    def before(self, name: str, core: object) -> None:
        """Write down a core's state where it is missing."""
        lacking = [one for one in self._streams if one.order.cores and name not in one.opened and not one.behind]
        if not lacking:
            return
        try:
            state = written(core)
        except NotLossless as error:
            for stream in lacking:
                stream.put(self._line("unopened", core=name, why=str(error)))
            return
        for stream in lacking:
            if stream.put(self._line("opening", core=name, state=state)):
                stream.opened.add(name)

    def after(self, name: str, events: Iterable[object], orders: Iterable[object] | Exception) -> None:
        """Copy what a core heard and answered."""
        said: dict[str, object]
        if isinstance(orders, Exception):
            said = {"error": f"{type(orders).__name__}: {orders}"}
        else:
            said = {"orders": [_told(order) for order in orders]}
        line = self._line("event", core=name, events=[_told(event) for event in events], **said)
        for stream in self._streams:
            if stream.order.cores:
                stream.put(line)
        self._drop_gone()

    def _line(self, kind: str, **more: object) -> dict[str, object]:
        return {"kind": kind, **self._who, "at": time.monotonic(), **more}

    def _drop_gone(self) -> None:
        self._streams = [stream for stream in self._streams if not stream.gone]


class TappedCore:
    """Stands in for a core while it is tapped."""

    def __init__(self, name: str, inner: Any, taps: Taps) -> None:  # noqa: ANN401 - any core
        """Take the place of `inner`."""
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_taps", taps)

    inner: Any
    _name: str
    _taps: Taps

    def handle(self, *events: object) -> Any:  # noqa: ANN401 - orders
        """Let the core handle `events`, and copy what comes of it."""
        self._taps.before(self._name, self.inner)
        try:
            orders = self.inner.handle(*events)
        except Exception as error:  # it goes on its way: that the core raised belongs into the story
            self._taps.after(self._name, events, error)
            raise
        self._taps.after(self._name, events, orders)
        return orders

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Everything else is the core's."""
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: object) -> None:
        """Pass on what is set from outside; the story goes on from what the core knows then."""
        setattr(self.inner, name, value)
        self._taps.opened_anew(self._name)


def _told(thing: object) -> object:
    """Return a message as JSON; of what carries addresses of actors, its words."""
    try:
        return written(thing)
    except NotLossless:
        return {"words": repr(thing)[:2000]}
