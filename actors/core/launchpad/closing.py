"""How a build that a launchpad-buildd slave holds is aborted, and cleaned when it has ended.

Part of `actors.core.launchpad.link`.  A build that never reached the slave (`Heard.refused`) is closed here alone.
"""

from __future__ import annotations

from actors.core.launchpad.calls import Calls, Pending, Purpose
from actors.core.launchpad.events import LinkOrder, Say
from actors.core.launchpad.heard import Heard
from protocol.launchpad_buildd.answers import SlaveStatus
from protocol.launchpad_buildd.calls import HaveAborted, HaveCleaned
from protocol.messages import Accepted, Rejected, RejectionCode, SlaveState, Status


class Closing:
    """The ends of builds at one slave."""

    def __init__(self, calls: Calls, heard: Heard) -> None:
        """Begin with nothing to close."""
        self._calls = calls
        self._heard = heard

    def abort(self, number: int, attempt: str, seconds: float) -> list[LinkOrder]:
        """Have the slave abort the attempt.

        Args:
            number: of the request.
            attempt: as the wire spells it.
            seconds: for the slave to obey.
        """
        said, refused = self._heard.said, self._heard.refused
        if refused is not None and refused.attempt == attempt:
            return [Say(Accepted(number)), Say(refused)]
        if said is None or said.status in {SlaveStatus.IDLE, SlaveStatus.WAITING}:
            return [Say(Rejected(number, RejectionCode.NOT_BUILDING, "the slave builds nothing"))]
        if not self._heard.holds(attempt):
            return [Say(Rejected(number, RejectionCode.WRONG_ATTEMPT, "the slave does not build this attempt"))]
        return [self._calls.make(HaveAborted(), Pending(Purpose.ABORT, number), seconds)]

    def clean(self, number: int, attempt: str, seconds: float) -> list[LinkOrder]:
        """Have the slave drop what is left of the attempt; arguments as `abort`'s."""
        refused = self._heard.refused
        if refused is not None and refused.attempt == attempt:
            self._heard.refused = None
            return [Say(Accepted(number)), Say(Status(SlaveState.IDLE))]
        refusal = self._heard.not_waiting_with(attempt)
        if refusal is not None:
            return [Say(Rejected(number, *refusal))]
        return [self._calls.make(HaveCleaned(), Pending(Purpose.CLEAN, number), seconds)]
