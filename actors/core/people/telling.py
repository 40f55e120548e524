"""When people are told: each notice at least once, one after the other, again and again for a day (dispatch-rules §6).

An event may still turn up behind others that were seen (`actors.core.people.settling`).  So nothing is waited for, and
nothing is left out: all after `cursor` is looked at again each time, and `told` are those after it that are done.  The
cursor follows when no transaction is left that could write before it.

No clock, no database, no socket: `web.webhook` looks, posts and keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, assert_never

from actors.core.people.notices import Notice
from actors.core.people.settling import Horizon, Settling

_GIVEN_UP: Final = timedelta(days=1)
#: events that may be read once more after a restart: the cursor alone is not worth a write each time
_FEW: Final = 1000


@dataclass(frozen=True, slots=True)
class Looked:
    """The event log was read, from the cursor to its end, after `horizon` was."""

    horizon: Horizon
    notices: tuple[Notice, ...]  #: by their events
    now: datetime  #: of the database, as the events' times are
    at: float  #: monotonic seconds


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has taken a notice."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver has not taken a notice."""

    notice: Notice
    at: float  #: monotonic seconds


@dataclass(frozen=True, slots=True)
class Post:
    """Tell this, and say what came of it."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class Keep:
    """Write down where we stand, before anything else is told."""

    cursor: int  #: of all up to this event people were told
    told: tuple[int, ...]  #: and of these after it


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Say that nobody took this for a day."""

    notice: Notice


Happened = Looked | Delivered | Refused
Order = Post | Keep | GiveUp


@dataclass(slots=True)
class Telling:
    """What people were told, and what is to be told next."""

    cursor: int
    told: set[int] = field(default_factory=set)
    first_retry: float = 5.0  #: seconds; doubles …
    retry_limit: float = 600.0  #: … no further than this
    _waiting: list[Notice] = field(default_factory=list, init=False)
    _settled: Settling = field(default_factory=Settling, init=False)
    _kept: int = field(init=False)  #: the cursor that was written
    _retry: float = field(init=False)  #: seconds
    _due: float = field(default=0.0, init=False)  #: monotonic seconds: nothing is told before

    def __post_init__(self) -> None:
        """What we begin with is written."""
        self._kept = self.cursor
        self._retry = self.first_retry

    @property
    def standing(self) -> Keep:
        """Return where we stand, to be written once more to a database that was away."""
        return Keep(self.cursor, tuple(sorted(self.told)))

    def handle(self, happened: Happened) -> tuple[Order, ...]:
        """Return what to do, in order; at most the last is a `Post`."""
        match happened:
            case Looked():
                return self._looked(happened)
            case Delivered(notice):
                self._retry, self._due = self.first_retry, 0.0
                return (*self._done(notice), *self._next())
            case Refused(at=at):
                self._due, self._retry = at + self._retry, min(self._retry * 2, self.retry_limit)
                return ()
            case _:
                assert_never(happened)

    def wait_seconds(self, at: float, most: float) -> float:
        """Return for how long there is nothing to look for, unless something happens in the farm."""
        return min(max(self._due - at, 0.0), most) if self._waiting else most

    def _looked(self, looked: Looked) -> tuple[Order, ...]:
        self._settled.see(looked.horizon)
        self._waiting = [one for one in looked.notices if one.event > self.cursor and one.event not in self.told]
        orders: list[Order] = []
        while self._waiting and looked.now - self._waiting[0].at > _GIVEN_UP:
            orders.append(GiveUp(self._waiting[0]))
            orders += self._done(self._waiting[0])
        self._advance()
        if self.cursor >= self._kept + _FEW:
            orders.append(self._keep())
        if looked.at >= self._due:
            orders += self._next()
        return tuple(orders)

    def _done(self, notice: Notice) -> tuple[Order, ...]:
        """Strike a notice off, and write that down."""
        self._waiting = [one for one in self._waiting if one.event != notice.event]
        self.told.add(notice.event)
        self._advance()
        return (self._keep(),)

    def _advance(self) -> None:
        end = min([self._settled.upto, *(one.event - 1 for one in self._waiting)])
        self.cursor = max(self.cursor, end)
        self.told = {event for event in self.told if event > self.cursor}

    def _keep(self) -> Keep:
        self._kept = self.cursor
        return self.standing

    def _next(self) -> tuple[Order, ...]:
        return (Post(self._waiting[0]),) if self._waiting else ()
