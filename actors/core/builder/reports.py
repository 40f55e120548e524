"""What the queue actor is told of a builder: that it is ready, passed its probe, holds something, refuses, does this now.

Part of `actors.core.builder.core`.  What it is told of the attempt in hand is the attempt's own business.
"""

from __future__ import annotations

from collections import deque
from uuid import UUID

from actors.core.builder.assigned import REMEMBERED
from actors.core.builder.orders import Order, Tell
from actors.core.builder.runtime import RuntimeTelling, runtime_state
from actors.core.builder.session import Session, SessionState
from actors.core.builder.stages import AttemptStage, Stage
from actors.messages import AdoptionWanted, JobRefused, ProbePassed, Ready, RuntimeChanged


class Reports:
    """What was told, and when some of it is told again."""

    def __init__(self, session: Session) -> None:
        """Begin with nothing told."""
        self._session = session
        self.ready_at = 0.0  #: IDLE: when to say Ready (again)
        self.pause_until = 0.0  #: no Ready before: something was refused that would only come again
        self.ask_again_at = 0.0  #: ADOPTING
        self._refused: deque[JobRefused] = deque(maxlen=REMEMBERED)  # told again if they are assigned again
        self._probed = 0  # session epoch whose probe was told of
        self._runtime = RuntimeTelling()
        self._noted: tuple[SessionState, Stage, AttemptStage | None] | None = None  # of what was last told

    def ready(self, at: float, out: list[Order]) -> None:
        """Say that the slave is IDLE and clean."""
        self.ready_at = at + self._session.timers.ready_again
        out.append(Tell(Ready(self._session.row.name, self._session.generation, self._session.epoch)))

    def pause(self, until: float) -> None:
        """Say nothing of being ready before the second `until`."""
        self.pause_until = self.ready_at = until

    def holds(self, attempt: UUID, out: list[Order]) -> None:
        """Ask what is to become of the attempt that the slave holds."""
        session = self._session
        out.append(Tell(AdoptionWanted(session.row.name, session.generation, session.epoch, attempt)))

    def refuse(self, attempt: UUID, why: str, out: list[Order]) -> None:
        """Refuse an attempt."""
        self._refused.append(JobRefused(self._session.row.name, self._session.generation, attempt, why))
        out.append(Tell(self._refused[-1]))

    def refused_before(self, attempt: UUID) -> JobRefused | None:
        """Return what was said of `attempt` when it was refused."""
        return next((said for said in self._refused if said.attempt == attempt), None)

    def probe_passed(self, out: list[Order]) -> None:
        """Say, once a session, that the slave has passed its probe."""
        if self._probed != self._session.epoch:
            self._probed, self._session.troubled = self._session.epoch, None
            out.append(Tell(ProbePassed(self._session.row.name, self._session.generation)))

    def say_probed(self, out: list[Order]) -> None:
        """Say again, if it is so, that the slave of this very session has passed its probe."""
        if self._session.open and self._probed == self._session.epoch:
            out.append(Tell(ProbePassed(self._session.row.name, self._session.generation)))

    # --- what the builder does --------------------------------------------------------------------

    @property
    def runtime_due(self) -> float | None:
        """The second at which `note` has something to tell."""
        return self._runtime.due

    def forget_runtime(self) -> None:
        """Tell all of it again: whoever was told is no more."""
        self._runtime.forget()

    def note(self, at: float, stage: Stage, attempt: AttemptStage | None, out: list[Order]) -> None:
        """Tell what the builder does now, if it is new and has lasted."""
        session = self._session
        done = (session.state, stage, attempt)
        if done == self._noted and self._runtime.settled:
            return
        self._noted = done
        state = runtime_state(session, stage, attempt)
        self._runtime.note(at, RuntimeChanged(session.row.name, session.generation, state, session.open), out)
