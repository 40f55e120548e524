"""How an attempt ended, as the parts of a builder's core tell each other; and how, by what the slave says."""

from __future__ import annotations

from dataclasses import dataclass

from actors.core.builder.stages import AttemptStage
from protocol.messages import Rejected, RejectionCode, SlaveState, Status, WireOutcome
from storage.records import Outcome


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of an attempt."""

    outcome: Outcome
    text: str  #: for people, one line
    dependencies: tuple[str, ...] = ()
    believed: bool = True  #: False: what the slave says of its state is worth nothing until a new session


def slave_failed(text: str, *, believed: bool = True) -> Ending:
    """Return the end of an attempt by the slave's fault."""
    return Ending(Outcome.BUILDERFAIL, text, believed=believed)


def lost(text: str) -> Ending:
    """Return the end of an attempt whose slave, connection or deadline was lost."""
    return Ending(Outcome.LOST, text, believed=False)


def breach(text: str) -> Ending:
    """Return the end of an attempt whose slave was not what was promised: clean, idle, ours alone."""
    return Ending(Outcome.BREACH, text, believed=False)


_BREACHES = {RejectionCode.NOT_IDLE, RejectionCode.NOT_CLEAN, RejectionCode.WRONG_ATTEMPT}
#: what a slave says of a build's end → how the attempt ended.  OK only counts once the results verify.
_OUTCOMES: dict[WireOutcome, Outcome] = {
    WireOutcome.OK: Outcome.OK,
    WireOutcome.PACKAGEFAIL: Outcome.PACKAGEFAIL,
    WireOutcome.DEPFAIL: Outcome.DEPFAIL,
    WireOutcome.CHROOTFAIL: Outcome.CHROOTFAIL,
    WireOutcome.BUILDERFAIL: Outcome.BUILDERFAIL,
    WireOutcome.GIVENBACK: Outcome.GIVENBACK,
    WireOutcome.TIMEOUT: Outcome.TIMEOUT,
    WireOutcome.ABORTED: Outcome.ABORTED,
}


def rejection(answer: Rejected) -> Ending:
    """Return the end of an attempt whose `Build` was rejected."""
    words = f"the slave rejected the build: {answer.code.value}: {answer.text}"
    return breach(words) if answer.code in _BREACHES else slave_failed(words)


def contradiction(attempt: str, stage: AttemptStage, status: Status) -> Ending | None:
    """Return the end of an attempt of which the slave says what can't be; None: it is as it should be, or may become so.

    Args:
        attempt: as the wire spells it.
        stage: how far it has come, and has not ended.
        status: what the slave says of itself.
    """
    if status.attempt is not None and status.attempt != attempt:
        return breach(f"the slave says that it is {status.state.value} with {status.attempt}")
    match stage, status.state:
        case ((AttemptStage.PREPARING | AttemptStage.REQUESTED | AttemptStage.STOPPING), SlaveState.IDLE):
            return None
        case AttemptStage.PREPARING, _:
            return breach(f"the slave is {status.state.value} before it was asked to build")
        case _, SlaveState.IDLE:
            return slave_failed("the slave dropped the build by itself")
        case AttemptStage.GATHERING, (SlaveState.BUILDING | SlaveState.ABORTING):
            return slave_failed(f"the slave is {status.state.value} again after the build had ended", believed=False)
        case _:
            return None


def ended(status: Status) -> Ending | None:
    """Return how the build of a slave that is WAITING has ended; None: OK, as far as the slave knows."""
    if status.outcome is None:
        return slave_failed("the slave ended the build without an outcome")
    if status.outcome is WireOutcome.OK:
        return None
    return Ending(
        _OUTCOMES[status.outcome], status.text or f"the slave says {status.outcome.value}", status.dependencies
    )
