"""What a launchpad-buildd slave said of itself last, whose build it holds, and all that in the words of our own protocol.

Part of `actors.core.launchpad.link`.  Hazard 8: the attempt is in the build's id; one that bears none of this farm is
not ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.core.launchpad.build import BuildId, read_build_id
from actors.core.launchpad.downloads import Downloads
from protocol.launchpad_buildd.answers import Info, Said, SlaveStatus
from protocol.messages import VERSION, Phase, RejectionCode, ResultFile, SlaveState, Status, Welcome, WireOutcome

BACKEND = "launchpad-buildd"  #: what such a slave calls its backend, as far as anybody asks

_STATES = {
    SlaveStatus.IDLE: SlaveState.IDLE,
    SlaveStatus.BUILDING: SlaveState.BUILDING,
    SlaveStatus.ABORTING: SlaveState.ABORTING,
    SlaveStatus.WAITING: SlaveState.WAITING,
}


@dataclass(slots=True)
class Heard:
    """One slave, as far as it was heard of in this connection."""

    said: Said | None = None
    id: BuildId | None = None  #: of the build that is ours: begun, or found, in this session
    in_hand: bool = False  #: the core follows it
    was_idle: bool = False  #: when it was last heard of, in this session
    refused: Status | None = None  #: a build that never reached the slave, as the core is to see it
    _aborting: tuple[str, float] | None = None  # a build's id, and since when; outlives connections

    def forget(self) -> None:
        """Forget what was heard in a connection that is gone."""
        self.said, self.id, self.refused = None, None, None
        self.in_hand, self.was_idle = False, False

    def forget_build(self) -> None:
        """Forget the build that was ours, as the slave has."""
        self.id, self.in_hand = None, False

    def note(self, at: float, said: Said, farm: str) -> str:
        """Remember what was said; return the id of a build that is not ours."""
        self.said = said
        if said.status is not SlaveStatus.ABORTING:
            self._aborting = None
        elif self._aborting is None or self._aborting[0] != said.build_id:
            self._aborting = (said.build_id, at)
        if said.status is SlaveStatus.IDLE:
            return ""
        its = read_build_id(said.build_id, farm)
        if its is None or (self.id is not None and its != self.id):
            return said.build_id
        self.id = its
        return ""

    @property
    def busy(self) -> bool:
        """Whether it was BUILDING or ABORTING."""
        return self.said is not None and self.said.status in {SlaveStatus.BUILDING, SlaveStatus.ABORTING}

    def wedged_at(self, limit: float) -> float:
        """Return the second at which it will have been ABORTING for `limit` seconds (hazard 1)."""
        return float("inf") if self._aborting is None else self._aborting[1] + limit

    def holds(self, attempt: str) -> bool:
        """Return whether the build that is ours is of this attempt."""
        return self.id is not None and self.id.attempt == attempt

    def not_waiting_with(self, attempt: str) -> tuple[RejectionCode, str] | None:
        """Return why a request is refused that only a slave can serve that waits with `attempt`; None: it does."""
        if self.said is None or self.said.status is not SlaveStatus.WAITING:
            return RejectionCode.NOT_WAITING, "the slave waits with no results"
        if not self.holds(attempt):
            return RejectionCode.WRONG_ATTEMPT, "the slave holds another attempt"
        return None

    def as_status(self, said: Said, foreign: str, downloads: Downloads) -> Status:
        """Return what the slave says in the words of our own protocol.

        Args:
            said: what it says.
            foreign: the id of a build that is not ours, or empty.
            downloads: how much there is to fetch.
        """
        if said.status is SlaveStatus.IDLE:
            return self.refused or Status(SlaveState.IDLE)
        attempt = foreign or ("" if self.id is None else self.id.attempt)
        if said.status is not SlaveStatus.WAITING or foreign:
            return Status(_STATES[said.status], attempt, outcome=said.outcome)
        if not downloads.measured:
            return Status(SlaveState.BUILDING, attempt, Phase.COLLECT)  # until it is known how much there is to fetch
        dependencies = tuple(part for one in said.dependencies.split(",") if (part := one.strip()))
        results = tuple(ResultFile(name, size, sha1) for name, sha1, size in downloads.results())
        return Status(
            SlaveState.WAITING,
            attempt,
            outcome=said.outcome,
            files=results if said.outcome is WireOutcome.OK else (),
            dependencies=dependencies if said.outcome is WireOutcome.DEPFAIL else (),
            log_size=downloads.log_size,
        )


def welcome(info: Info, status: Status) -> Welcome:
    """Return what such a slave says of itself as the greeting of one of ours."""
    return Welcome(VERSION, BACKEND, (info.architecture,), info.managers, BACKEND, 0, status)
