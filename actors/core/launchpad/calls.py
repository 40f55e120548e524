"""Calls to a launchpad-buildd slave that are not answered yet, and what each is for.

Part of `actors.core.launchpad.link`.  Numbers tell calls and downloads of one link apart, for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from actors.core.launchpad.events import LookAtFiles, MakeCall
from protocol.launchpad_buildd.calls import Call
from storage.records import BuildOrder


class Numbers:
    """Numbers for calls and downloads, none twice."""

    def __init__(self) -> None:
        """Begin with 1."""
        self._last = 0

    def next(self) -> int:
        """Return the next one."""
        self._last += 1
        return self._last


class Purpose(Enum):
    """What a call is for."""

    INFO = auto()
    STATUS = auto()
    ECHO = auto()
    FILE = auto()
    FILES_LOOK = auto()
    BUILD_LOOK = auto()  #: `status()` right before `build()`
    BUILD = auto()
    FAULT_LOOK = auto()  #: `status()` right after a `build()` that faulted: it may have begun all the same
    ABORT = auto()
    CLEAN = auto()


@dataclass(frozen=True, slots=True)
class Pending:
    """A call that is not answered yet."""

    purpose: Purpose
    id: int = 0  #: of the request that it serves
    sha256: str = ""
    text: str = ""
    order: BuildOrder | None = None
    again: bool = False  #: it is tried for the second time


class Calls:
    """All that wait for an answer within one connection."""

    def __init__(self, numbers: Numbers) -> None:
        """Begin with none."""
        self._numbers = numbers
        self.pending: dict[int, Pending] = {}  #: by the call's number

    def make(self, call: Call, pending: Pending, seconds: float) -> MakeCall:
        """Return the order to call the slave.

        Args:
            call: what is asked.
            pending: what for.
            seconds: for the whole of it.
        """
        number = self._numbers.next()
        self.pending[number] = pending
        return MakeCall(number, call, seconds)

    def look(self, pending: Pending, url: str, user: str, password: str) -> LookAtFiles:
        """Return the order to try a file of our own, as the slave would."""
        number = self._numbers.next()
        self.pending[number] = pending
        return LookAtFiles(number, url, user, password)

    def waits_for(self, *purposes: Purpose) -> bool:
        """Return whether a call for one of these is under way."""
        return any(one.purpose in purposes for one in self.pending.values())
