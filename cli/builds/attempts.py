"""The attempts and the job of a build, as `build show` shows them."""

from __future__ import annotations

from cli.terminal.output import console, duration, since, state, when
from cli.terminal.tables import Rows
from storage.limits import said
from storage.records import Attempt, Build, Job

_INDUCED = "it passed elsewhere: the builder was to blame"


def job_words(build: Build, job: Job | None) -> str:
    """Return what is to be known of the job of a build that has not ended."""
    if job is None:
        return f"none: somebody took it out of the queue; `buildd-master build retry {build.id}` puts it back"
    words = [str(job.id)]
    if job.manual_score is not None:
        words.append(f"score {job.manual_score} instead of its own")
    if job.assigned is not None:
        words.append(f"for {job.assigned} only")
    if job.builder is None:
        words.append(f"`buildd-master explain {job.id}` says why it waits")
    return "; ".join(words)


def attempt_document(one: Attempt) -> dict[str, object]:
    """Return an attempt as `--json` shows it."""
    return {
        "id": one.id,
        "builder": one.builder,
        "outcome": one.outcome,
        "text": one.text,
        "verdict": one.verdict,
        "charged": one.charged,
        "builder_induced": one.builder_induced,
        "trusted": one.trusted,
        "started": one.started,
        "ended": one.ended,
        "deadline": one.deadline,
        "limits": said(one.limits),
        "limits_from": dict(origin.split("=") for origin in one.limits_from),
    }


def print_attempts(attempts: tuple[Attempt, ...]) -> None:
    """Print attempts, oldest first, under a blank line; nothing if there are none."""
    if not attempts:
        return
    rows = Rows("ATTEMPT", "BUILDER", "STARTED", "TOOK", "OUTCOME", "WHY", fold=("WHY",))
    for one in attempts:
        rows.add(
            str(one.id)[:8],
            one.builder,
            when(one.started),
            duration((one.ended - one.started).total_seconds()) if one.ended else since(one.started),
            state(one.outcome) if one.outcome else "open",
            "\n".join(filter(None, (one.text, one.verdict, _INDUCED if one.builder_induced else ""))),
        )
    console().print()
    rows.show()
