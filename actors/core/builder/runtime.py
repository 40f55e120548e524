"""What `builder_runtime` is told of a builder: changes that people see, not every step of a busy cycle.

Part of `actors.core.builder.core`.  That a connection comes or goes, and that a builder is IDLE no longer, is told at
once; any other change when it has lasted: the states of 1,000 busy builders would fill the queue actor's day.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.core.builder.orders import Order, Tell
from actors.core.builder.session import Session, SessionState
from actors.core.builder.stages import AttemptStage, Stage
from actors.messages import RuntimeChanged
from storage.records import RuntimeState

SETTLES = 0.2  #: seconds a change of state must last before it is told; a busy builder's cycle is shorter

_BY_STAGE = {
    Stage.IDLE: RuntimeState.IDLE,
    Stage.ADOPTING: RuntimeState.BUILDING,
    Stage.DISCARDING: RuntimeState.ABORTING,
    Stage.CLEANING: RuntimeState.CLEANING,
}
_BY_ATTEMPT = {
    AttemptStage.PREPARING: RuntimeState.PREPARING,
    AttemptStage.REQUESTED: RuntimeState.PREPARING,
    AttemptStage.BUILDING: RuntimeState.BUILDING,
    AttemptStage.STOPPING: RuntimeState.ABORTING,
    AttemptStage.GATHERING: RuntimeState.GATHERING,
    AttemptStage.SEALING: RuntimeState.GATHERING,
    AttemptStage.REPORTING: RuntimeState.GATHERING,
}


def runtime_state(session: Session, stage: Stage, attempt: AttemptStage | None) -> RuntimeState:
    """Return the word for what the builder does."""
    if not session.open:
        resting = session.state is SessionState.RESTING
        return RuntimeState.DISCONNECTED if resting else RuntimeState.CONNECTING
    return _BY_STAGE.get(stage, RuntimeState.CONNECTING) if attempt is None else _BY_ATTEMPT[attempt]


@dataclass(slots=True)
class RuntimeTelling:
    """What was told, and what is about to be."""

    due: float | None = None  #: second at which `note` has something to tell
    _told: RuntimeChanged | None = None

    def forget(self) -> None:
        """Tell everything again: whoever was told is no more."""
        self._told = None

    @property
    def settled(self) -> bool:
        """Whether what was noted last was told, and nothing else is about to be."""
        return self.due is None and self._told is not None

    def note(self, at: float, now: RuntimeChanged, out: list[Order]) -> None:
        """Take what holds now; tell it if it is new and has lasted."""
        told = self._told
        if now == told:
            self.due = None
        elif told is None or self._pressing(told, now) or (self.due is not None and at >= self.due):
            self._told, self.due = now, None
            out.append(Tell(now))
        elif self.due is None:
            self.due = at + SETTLES

    @staticmethod
    def _pressing(told: RuntimeChanged, now: RuntimeChanged) -> bool:
        """Return whether what was told must not stand any longer: nobody is called IDLE or connected who is not."""
        return now.connected != told.connected or told.state is RuntimeState.IDLE
