"""Signs of life: a page of memory that all processes of the actor system share, a slot for each (architecture §4).

`actors.wiring` lays the page out before it forks; it is anonymous memory, so there is no file and no descriptor that a
slave's or a database's process could inherit.  Whoever forks an actor reserves its slot; the process, once born, writes
its number there, and then a stamp in every turn of its loop (`actors.system.transport_loop`): also an idle one turns
`SIGNS` times in the time after which it would count as hanging.  Costs a turn less than a microsecond.

Never decides who hangs: that is `actors.core.supervision.hangs`.  A slot's numbers are 64 bits and aligned; each is
written by one process at a time.
"""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.core.supervision.hangs import SIGNS, Excuse, Sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLOTS: Final = 16384  #: half a megabyte, of which only what is used takes memory
ADMIN: Final = 1  #: Thespian's admin
SUPERVISOR: Final = 2
_FIRST: Final = 3
_EVERY = 0  # of slot 0, which is nobody's: nanoseconds between two signs of an idle process
_WORDS: Final = 4
_STAMP, _PID, _EXCUSE = range(3)  # of the others: monotonic nanoseconds, process, index into `Excuse`
_EXCUSES: Final = tuple(Excuse)


class Page:
    """The page of one actor system."""

    def __init__(self, limit: float) -> None:
        """Make it.

        Args:
            limit: seconds without a sign of life after which a process hangs.
        """
        self._words = memoryview(mmap.mmap(-1, SLOTS * _WORDS * 8)).cast("q")
        self.set_limit(limit)

    def set_limit(self, limit: float) -> None:
        """Have everybody give signs as often as this limit wants, from their next turn on."""
        self._words[_EVERY] = int(limit / SIGNS * 1e9)

    @property
    def every(self) -> float:
        """Return the seconds between two signs of an idle process."""
        return self._words[_EVERY] / 1e9

    def reserve(self, slot: int) -> None:
        """Begin a life: it counts as alive from now on, and as nobody until it is born."""
        self.stamp(slot)
        self._words[slot * _WORDS + _PID] = 0
        self._words[slot * _WORDS + _EXCUSE] = 0

    def born(self, slot: int) -> None:
        """Say that this process lives there."""
        self.reserve(slot)
        self._words[slot * _WORDS + _PID] = os.getpid()

    def stamp(self, slot: int) -> None:
        """Give a sign of life."""
        self._words[slot * _WORDS + _STAMP] = time.monotonic_ns()

    def excuse(self, slot: int, excuse: Excuse) -> None:
        """Say what is waited for from now on; `Excuse.NONE`: nothing any more."""
        self.stamp(slot)
        self._words[slot * _WORDS + _EXCUSE] = _EXCUSES.index(excuse)

    def pid(self, slot: int) -> int:
        """Return the process; 0: it was not born yet."""
        return self._words[slot * _WORDS + _PID]

    def born_so_far(self) -> int:
        """Return in how many slots somebody lives or has lived, those apart that are being forked again."""
        return sum(pid != 0 for pid in self._words[_WORDS + _PID :: _WORDS])

    def sign(self, slot: int, name: str, generation: int) -> Sign:
        """Return what is to be seen of a life."""
        at = self._words[slot * _WORDS + _STAMP] / 1e9
        excuse = _EXCUSES[self._words[slot * _WORDS + _EXCUSE]]
        silent = time.monotonic() - at > 1.5 * self.every  # only then it is worth asking the kernel
        return Sign(name, generation, at, excuse, stopped=silent and _stopped(self.pid(slot)))


class Slots:
    """Who has which slot: a name keeps its own through all its lives."""

    def __init__(self) -> None:
        """Give none away yet."""
        self._slots: dict[str, int] = {}
        self._free = deque(range(_FIRST, SLOTS))

    def __getitem__(self, name: str) -> int:
        """Return the slot of `name`."""
        return self._slots[name]

    def give(self, name: str, in_use: Callable[[str], bool]) -> int:
        """Return the slot of `name`; if it has none it gets one, at last of a name that is not `in_use` any more."""
        if name not in self._slots:
            if not self._free:
                gone = [one for one in self._slots if not in_use(one)]
                self._free.extend(self._slots.pop(one) for one in gone)
            self._slots[name] = self._free.popleft()
        return self._slots[name]


# --- this process -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Here:
    """What this process knows of pages; a fork inherits it."""

    page: Page | None = None  #: of the actor system that it is in, or has started
    slot: int | None = None  #: its own; None: it gives no signs
    reserved: int | None = None  #: of the child that it forks next


_here = _Here()


def lay_out(limit: float) -> Page:
    """Make the page of the actor system that this process is about to start."""
    _here.page = Page(limit)
    return _here.page


def page() -> Page | None:
    """Return the page of the actor system that this process is in or has started; None outside of any."""
    return _here.page


def reserve(slot: int) -> None:
    """Have the child that is forked next live in `slot`."""
    if _here.page is not None:
        _here.page.reserve(slot)
        _here.reserved = slot


def reserved() -> int | None:
    """Return the slot that was reserved for the child that is forked next, or that this process is."""
    return _here.reserved


def born(slot: int | None) -> None:
    """Take up life in `slot`, the first thing that a process does; None: nobody looks at it."""
    _here.slot, _here.reserved = slot, None
    if _here.page is not None and _here.slot is not None:
        _here.page.born(_here.slot)


def stamp() -> float | None:
    """Give a sign of life; return the seconds after which the next is due.  None: nobody looks at this process."""
    if _here.page is None or _here.slot is None:
        return None
    _here.page.stamp(_here.slot)
    return _here.page.every


@contextmanager
def waiting(excuse: Excuse) -> Iterator[None]:
    """Say that whatever is done inside may take long, and whose fault that is."""
    if _here.page is None or _here.slot is None:
        yield
        return
    _here.page.excuse(_here.slot, excuse)
    try:
        yield
    finally:
        _here.page.excuse(_here.slot, Excuse.NONE)


# --- the processes below ----------------------------------------------------------------------------------------------


def kill_child(pid: int) -> bool:
    """Kill a process that this one has forked; return False if there is none of that number that still runs.

    Only a child whose end nobody has taken note of can be meant: its number can't be another's by now.
    """
    try:
        if pid == 0 or os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
        os.kill(pid, signal.SIGKILL)
    except (ChildProcessError, ProcessLookupError):
        return False
    return True


def _stopped(pid: int) -> bool:
    """Return whether a process is stopped by a signal or a debugger."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        return state in {"T", "t"}
    return False
