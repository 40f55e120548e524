"""How an attempt ended, as the parts of a builder's core tell each other."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.messages import WireOutcome
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


#: what a slave says of a build's end → how the attempt ended.  OK only counts once the results verify.
OUTCOMES: dict[WireOutcome, Outcome] = {
    WireOutcome.OK: Outcome.OK,
    WireOutcome.PACKAGEFAIL: Outcome.PACKAGEFAIL,
    WireOutcome.DEPFAIL: Outcome.DEPFAIL,
    WireOutcome.CHROOTFAIL: Outcome.CHROOTFAIL,
    WireOutcome.BUILDERFAIL: Outcome.BUILDERFAIL,
    WireOutcome.GIVENBACK: Outcome.GIVENBACK,
    WireOutcome.TIMEOUT: Outcome.TIMEOUT,
    WireOutcome.ABORTED: Outcome.ABORTED,
}
