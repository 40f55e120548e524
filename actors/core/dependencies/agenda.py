"""Which waiting builds are to be looked at next, a slice at a time (dispatch-rules §7).

A farm may have thousands of builds that wait, and an import may publish tens of thousands of packages at once; the
queue actor has jobs to give away meanwhile.  So what was heard is noted here and worked off in slices, builds that
something was published for before the sweep of all.  Nothing is lost with this: the next sweep looks at everybody.
The hand that works it off is `actors.queue.dependency_waits`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, assert_never

MOST_PACKAGES: Final = 1000  #: whose waiting builds are asked for at once
MOST_BUILDS: Final = 25  #: looked at in one slice …
MOST_LINES: Final = 500  #: … or fewer, if they have so many dependencies


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Published:
    """Packages were published; None: more than were told, anybody may wait for them."""

    packages: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class Moved:
    """These builds were changed: whether they wait for dependencies now is to be seen."""

    builds: frozenset[int]


@dataclass(frozen=True, slots=True)
class SweepDue:
    """Everybody who waits is to be looked at."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Answer to `AskWhoAwaits`: these builds may be helped."""

    packages: frozenset[int]
    builds: frozenset[int]


@dataclass(frozen=True, slots=True)
class Looked:
    """A `Look` was done."""

    look: Look
    last: int | None  #: the last build that was there to be looked at; None: there was none (any more)


Event = Published | Moved | SweepDue | Asked | Looked

# --- orders ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskWhoAwaits:
    """Ask the database which builds wait for one of these packages → `Asked`."""

    packages: frozenset[int]


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the next builds after one, by id → `Looked`."""

    builds: frozenset[int] | None  #: among these; None: among all
    after: int


Order = AskWhoAwaits | Look


@dataclass(slots=True)
class Agenda:
    """What is to be looked at."""

    packages: set[int] = field(default_factory=set)
    builds: set[int] = field(default_factory=set)
    sweep_after: int | None = None  #: the sweep that is under way goes on after this build; None: none is
    sweep_again: bool = False  #: something was published since it began

    def handle(self, event: Event) -> None:
        """Note what happened."""
        match event:
            case SweepDue():
                self._sweep(again=False)
            case Published(packages):
                if packages is None:
                    self._sweep(again=True)
                else:
                    self.packages |= packages
            case Moved(builds):
                self.builds |= builds
            case Asked(packages, builds):
                self.packages -= packages
                self.builds |= builds
            case Looked(Look(None), last):
                self._swept(last)
            case Looked(Look(builds), last):
                self.builds -= {one for one in builds or () if last is None or one <= last}
            case _:
                assert_never(event)

    @property
    def due(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.packages or self.builds) or self.sweep_after is not None

    def next(self) -> Order | None:
        """Return what to do next; None: nothing."""
        if self.packages:
            return AskWhoAwaits(frozenset(sorted(self.packages)[:MOST_PACKAGES]))
        if self.builds:
            return Look(frozenset(sorted(self.builds)[:MOST_BUILDS]), 0)
        return None if self.sweep_after is None else Look(None, self.sweep_after)

    def _sweep(self, *, again: bool) -> None:
        """Begin a sweep; `again`: one that is under way has gone past builds that are to be looked at."""
        if self.sweep_after is None:
            self.sweep_after = 0
        elif again:
            self.sweep_again = True

    def _swept(self, last: int | None) -> None:
        if last is not None:
            self.sweep_after = last
            return
        self.sweep_after = 0 if self.sweep_again else None
        self.sweep_again = False
