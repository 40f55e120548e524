"""What a submission or a withdrawal has done, in words and as `--json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from actors.core.sources.making import Step, in_short
from cli.terminal.output import counted
from publishing.submission import Plan, Submission, Submitted, Taken
from storage.records import Pocket, Publication

_EACH = 20  #: builds of which each has a line of its own; of more there are sums


def lines(done: Submitted, pocket: Pocket) -> list[str]:
    """Return what was done, a line for each build and for what was superseded.

    Args:
        done: what `publishing.submission.submit` returned.
        pocket: that was asked for.
    """
    if len(done.taken) <= _EACH:
        shown = [
            f"build {one.build.id}: {one.build.source} {one.build.version} for {one.build.distroarchseries} "
            f"{_word(one, pocket)}"
            for one in done.taken
        ]
    else:
        source = f"{done.taken[0].build.source} {done.taken[0].build.version}"
        sums = Counter(_word(one, pocket) for one in done.taken)
        shown = [f"{counted(count, 'build')} of {source}: {word}" for word, count in sums.items()]
    if done.superseded:
        shown.append(f"superseded: {places(done.superseded)}; {waiting(done.waiting)}")
    return shown


def places(publications: Sequence[Publication]) -> str:
    """Return publications as `tiny 1.0 in bookworm RELEASE, trixie RELEASE`."""
    where: dict[str, list[str]] = {}
    for one in publications:
        where.setdefault(f"{one.source} {one.version}", []).append(f"{one.series} {one.pocket}")
    return "; ".join(f"{source} in {in_short(each, ', ')}" for source, each in where.items())


def waiting(builds: int) -> str:
    """Say how many builds wait for nothing any more."""
    match builds:
        case 0:
            return "no build of it waited"
        case 1:
            return "1 build of it waited, and is superseded too"
        case _:
            return f"{builds} builds of it waited, and are superseded too"


def done_document(planned: Plan, submission: Submission, done: Submitted) -> dict[str, object]:
    """Return a submission as `--json` shows it, without its builds."""
    archive = planned.places.archive
    return {
        "source": submission.source.name,
        "version": submission.source.version,
        "archive": f"{archive.distribution}/{archive.name}",
        "superseded": [publication_document(one) for one in done.superseded],
        "superseded_builds": done.waiting,
        "warnings": planned.remarks,
    }


def publication_document(one: Publication) -> dict[str, object]:
    """Return a publication as `--json` shows it."""
    return {
        "source": one.source,
        "version": one.version,
        "series": one.series,
        "pocket": one.pocket,
        "component": one.component,
        "status": one.status,
        "since": one.created,
    }


def _word(one: Taken, pocket: Pocket) -> str:
    match one.step, one.before:
        case Step.MAKE_AGAIN, _:
            word = "queued once more"
        case Step.KEEP, _:
            word = "was built already (--again builds it once more)"
        case Step.QUEUE, before if before is not None and before.state.final:
            word = f"was {before.state} and is queued again"
        case Step.QUEUE, before if before is not None:
            word = f"is {before.state} already"
        case _:
            word = "queued"
    return word if one.build.pocket is pocket else f"{word} for the pocket {one.build.pocket}, and stays there"
