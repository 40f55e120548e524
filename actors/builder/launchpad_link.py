"""The link to a launchpad-buildd slave: `actors.core.launchpad.link` with threads that make its calls.

Has what `actors.builder.slave_link.SlaveLink` has, and yields the same happenings, so that `actors.builder.actor` need
not know which of the two it holds.  Two lanes (`actors.builder.http_lane`): what takes long, files, does not keep a
status waiting.  Never waits: a handler of the actor only takes what the lanes have told.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import assert_never

from actors.builder.happenings import Down, Happening, Heard, OwnFaultFound, Up
from actors.builder.http_lane import Lane, Mailbox
from actors.core.launchpad.build import DSC_LIMIT
from actors.core.launchpad.events import (
    Asked,
    Download,
    DropCall,
    Greeted,
    LinkEvent,
    LinkOrder,
    LookAtFiles,
    MakeCall,
    OwnFault,
    Part,
    Reminded,
    Say,
    Stand,
    Wanted,
)
from actors.core.launchpad.link import LaunchpadLink
from actors.core.timers import Timers
from protocol.launchpad_buildd.calls import HaveFetched
from protocol.messages import Build, MasterMessage
from storage.errors import StorageError
from storage.files.credentials import FilesPlace
from storage.records import BuildOrder

_AT_ONCE = 32  #: news in one `pump`; of pieces of files there are fewer


class LaunchpadSlaveLink:
    """One slave."""

    def __init__(
        self,
        timers: Timers,
        files: FilesPlace | None,
        why_no_files: str,
        *,
        order: Callable[[], BuildOrder | None],
        read: Callable[[str, int], bytes],
    ) -> None:
        """Prepare.

        Args:
            timers: how long is waited for what.
            files: where slaves download; None: this master hands out no files.
            why_no_files: why, in words.
            order: returns the order of the attempt in hand.
            read: returns the first bytes of a file in the librarian, by its SHA-256.
        """
        self._core = LaunchpadLink(timers, files, why_no_files)
        self._order, self._read = order, read
        self._mailbox = Mailbox()
        self._epoll = select.epoll()
        self._epoll.register(self._mailbox.fileno(), select.EPOLLIN)
        self._place = ("", 0)
        self._lanes: tuple[Lane, Lane] | None = None  # calls; files
        self._happened: deque[Happening] = deque()
        self._more = False

    def fileno(self) -> int:
        """Return the descriptor to watch for readability."""
        return self._epoll.fileno()

    @property
    def unsent(self) -> int:
        """Return the bytes that wait for the slave to read: none that anybody knows of."""
        return 0

    @property
    def due(self) -> float:
        """Return the monotonic second at which `pump` is wanted, whatever the descriptor says."""
        return self._core.deadline()

    @property
    def eager(self) -> bool:
        """Return whether `pump` has something to say that no descriptor will tell of."""
        return bool(self._happened) or self._more or self._core.deadline() <= time.monotonic()

    def take_up(self, timers: Timers) -> None:
        """Wait as long as the settings say from now on."""
        self._core.timers = timers

    def connect(self, host: str, port: int, *, tls: bool) -> None:  # noqa: ARG002 - there is none in this dialect
        """Begin to connect; `pump` tells how it went."""
        self.close()
        self._place = (host, port)
        self._handle(Wanted(time.monotonic()))

    def greet(self, epoch: int, farm: str) -> None:
        """Open the session."""
        self._handle(Greeted(time.monotonic(), epoch, farm))

    def send(self, message: MasterMessage) -> None:
        """Ask the slave for this; does nothing when there is no session."""
        order, dsc = self._order(), None
        if isinstance(message, Build) and order is not None:
            chosen = next((file for file in order.files if file.filename == order.dsc), None)
            if chosen is not None:
                with suppress(OSError, StorageError):  # the slave could read it a moment ago
                    dsc = self._read(chosen.sha256, DSC_LIMIT)
        self._handle(Asked(time.monotonic(), message, order, dsc))

    def flush(self) -> None:
        """Do nothing: what was asked for is on its way."""

    def pump(self) -> Iterator[Happening]:
        """Take what the lanes have told, and the time; yield what happened."""
        if self._core.deadline() <= time.monotonic():
            self._handle(Reminded(time.monotonic()))
        news, self._more = self._mailbox.take(_AT_ONCE)
        for one in news:
            self._handle(one)
        while self._happened:
            yield self._happened.popleft()

    def close(self) -> None:
        """Give up all that is under way; nothing is told of it."""
        self._core.drop()
        self._end_lanes()
        self._happened.clear()

    def release(self) -> None:
        """Close for good."""
        self.close()
        self._epoll.close()
        self._mailbox.close()

    def _handle(self, event: LinkEvent) -> None:
        for order in self._core.handle(event):
            self._obey(order)

    def _obey(self, order: LinkOrder) -> None:
        match order:
            case MakeCall(call=call):
                self._lane(long=isinstance(call, HaveFetched)).do(order)
            case Download() | LookAtFiles():
                self._lane(long=True).do(order)
            case DropCall(number):
                if self._lanes is not None:
                    self._lanes[1].drop(number)
            case Stand():
                self._happened.append(Up())
            case Say(message):
                self._happened.append(Heard(message))
            case Part(reason, lied, unfit):
                self._end_lanes()
                self._happened.append(Down(reason, lied, unfit))
            case OwnFault(attempt, text):
                self._happened.append(OwnFaultFound(attempt, text))
            case _:
                assert_never(order)

    def _lane(self, *, long: bool) -> Lane:
        if self._lanes is None:
            self._lanes = (Lane(*self._place, self._mailbox), Lane(*self._place, self._mailbox))
        return self._lanes[1 if long else 0]

    def _end_lanes(self) -> None:
        lanes, self._lanes = self._lanes, None
        for lane in lanes or ():
            lane.end()
