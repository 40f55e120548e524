"""How a build ended, as the slave's own value; `slave.core.machine` turns it into a `Status`."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.messages import ResultFile, WireOutcome


@dataclass(frozen=True, slots=True)
class Ending:
    """The outcome of one build, with what goes along with it."""

    outcome: WireOutcome
    text: str  #: for people; one line
    files: tuple[ResultFile, ...] = ()  #: with OK
    dependencies: tuple[str, ...] = ()  #: with DEPFAIL: relations, as a `.dsc` writes them


def packagefail(text: str) -> Ending:
    """It is the package's own fault, or that of what it asked for: nobody else is blamed."""
    return Ending(WireOutcome.PACKAGEFAIL, text)


def chrootfail(text: str) -> Ending:
    """The chroot cannot be used."""
    return Ending(WireOutcome.CHROOTFAIL, text)


def builderfail(text: str) -> Ending:
    """This machine cannot do it."""
    return Ending(WireOutcome.BUILDERFAIL, text)


def givenback(text: str) -> Ending:
    """Nobody's fault: later, or elsewhere, it will work."""
    return Ending(WireOutcome.GIVENBACK, text)


def depfail(dependencies: tuple[str, ...]) -> Ending:
    """Build dependencies cannot be satisfied from the archives of the chroot."""
    return Ending(WireOutcome.DEPFAIL, f"missing: {', '.join(dependencies)}", dependencies=dependencies)
