"""How a build is begun at a launchpad-buildd slave: looked at, asked for, and what the answer means.

Part of `actors.core.launchpad.link`.  Hazards 1 and 5: what the slave would wedge on, or blame the package for, is never
sent.  Hazard 2: `build()` harms a slave that is not IDLE, so it is asked for its status right before.
"""

from __future__ import annotations

from typing import Final

from actors.core.launchpad.build import build_id, have_built, objection
from actors.core.launchpad.calls import Calls, Pending, Purpose
from actors.core.launchpad.events import LinkOrder, Say
from actors.core.launchpad.fetching import named
from actors.core.launchpad.heard import Heard
from protocol.launchpad_buildd.answers import Answered, Begun, Fault, Said, SlaveStatus
from protocol.launchpad_buildd.calls import AskStatus
from protocol.messages import Accepted, Build, Rejected, RejectionCode, SlaveState, Status, WireOutcome
from storage.records import BuildOrder

RESTART: Final = (
    "restart the slave (`systemctl restart launchpad-buildd` on its machine); when it is IDLE it is used again"
)
ELSEWHERE: Final = "which this farm did not give it: point one master only at a slave, or"

_REFUSALS = {
    Begun.UNKNOWNBUILDER: RejectionCode.UNKNOWN_BUILD_TYPE,
    Begun.UNKNOWNSUM: RejectionCode.MISSING_FILE,
}


class Beginning:
    """The beginnings of builds at one slave."""

    def __init__(self, calls: Calls, heard: Heard) -> None:
        """Begin nothing yet."""
        self._calls = calls
        self._heard = heard

    def ask(self, message: Build, order: BuildOrder | None, dsc: bytes | None, seconds: float) -> list[LinkOrder]:
        """Take the request; look at the slave, if there is nothing against the order itself.

        Args:
            message: the request.
            order: of the attempt in hand.
            dsc: content of its `.dsc`; None: it can't be read.
            seconds: for the slave to say what it is.
        """
        if order is None or str(order.attempt) != message.attempt:
            return [Say(Rejected(message.id, RejectionCode.BAD_ARGS, "the order is not the one in hand"))]
        fault = objection(order, dsc)
        if fault:
            self._heard.refused = Status(
                SlaveState.WAITING, message.attempt, outcome=WireOutcome.PACKAGEFAIL, text=fault, log_size=0
            )
            return [Say(Accepted(message.id)), Say(self._heard.refused)]
        return [self._calls.make(AskStatus(), Pending(Purpose.BUILD_LOOK, message.id, order=order), seconds)]

    def looked(self, pending: Pending, said: Said, epoch: int, farm: str, seconds: float) -> list[LinkOrder]:
        """Send `build()` to a slave that is IDLE now.

        Args:
            pending: what for it was looked at.
            said: what it said.
            epoch: of the session.
            farm: UUID.
            seconds: for it to begin.
        """
        order = pending.order
        if order is None:
            return []
        if said.status is not SlaveStatus.IDLE:
            holds = f"it is {said.status.name} with the build {said.build_id!r}"
            code = RejectionCode.NOT_CLEAN if said.status is SlaveStatus.WAITING else RejectionCode.NOT_IDLE
            return [Say(Rejected(pending.id, code, f"{holds}, {ELSEWHERE} {RESTART}"))]
        self._heard.said = said
        self._heard.id = build_id(str(order.attempt), epoch, farm)
        call = have_built(order, self._heard.id)
        return [self._calls.make(call, Pending(Purpose.BUILD, pending.id, order=order), seconds)]

    def answered(self, pending: Pending, reply: Answered | Fault, seconds: float) -> list[LinkOrder]:
        """Take the answer to `build()`; when it was `Accepted` the slave builds.

        Args:
            pending: what was asked.
            reply: the answer.
            seconds: for the slave to say what it is after a fault: it may have begun all the same.
        """
        match reply:
            case Fault():  # hazard 1: before anybody believes that it is IDLE
                text = f"{fault_words(reply)}; if it stays busy, {RESTART}"
                return [self._calls.make(AskStatus(), Pending(Purpose.FAULT_LOOK, pending.id, text=text), seconds)]
            case Answered(Begun.BUILDING, text) if text != str(self._heard.id):
                return [Say(Rejected(pending.id, RejectionCode.WRONG_ATTEMPT, f"it says that it builds {text!r}"))]
            case Answered(Begun.BUILDING):
                return [Say(Accepted(pending.id))]
            case Answered(begun, text):
                self._heard.id = None
                return [Say(Rejected(pending.id, _REFUSALS[begun], f"{text}{named(pending.order, text)}"))]


def fault_words(fault: Fault) -> str:
    """Return in words that the slave refused a call."""
    return f"it refused the call (fault {fault.code}: {fault.text}); the reason stands in the slave's own log"
