"""A build as `--json` shows it, how long it took, how it is waited for, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from cli.builds.following import wait_until_ended
from cli.errors import Failed
from cli.farm import Farm
from cli.terminal.output import duration, note, since, state
from storage.limits import said
from storage.records import Build, BuildState


def document(one: Build) -> dict[str, object]:
    """Return a build as `--json` shows it."""
    return {
        "id": one.id,
        "source": one.source,
        "version": one.version,
        "distroarchseries": one.distroarchseries,
        "architecture": one.architecture,
        "archive": one.archive,
        "pocket": one.pocket,
        "component": one.component,
        "urgency": one.urgency,
        "trusted": one.trusted,
        "private": one.private,
        "arch_indep": one.arch_indep,
        "state": one.state,
        "why": one.why,
        "dependencies": one.dependencies,
        "builder": one.builder,
        "created": one.created,
        "started": one.started,
        "ended": one.ended,
        "tags": one.tags,
        "limits": said(one.limits),
    }


def took(one: Build) -> str:
    """Return how long the last attempt took, or has been running."""
    if one.started is None or not (one.state.final or one.builder):
        return ""
    return since(one.started) if one.ended is None else duration((one.ended - one.started).total_seconds())


def wait_with_words(farm: Farm, ids: list[int], *, log: bool, quiet: bool) -> tuple[Build, ...]:
    """Wait for builds; on Ctrl-C, say that they go on and how to look at them again."""
    try:
        return wait_until_ended(farm, ids, log=log, quiet=quiet)
    except KeyboardInterrupt:
        again = " ".join(f"`buildd-master build log -f {build}`" for build in ids[:3])
        note(f"no longer waiting; the build goes on: {again}" if len(ids) == 1 else f"the builds go on: {again}")
        raise


def end_words(build: Build) -> Text:
    """Return one line that says how a build ended."""
    line = Text.assemble(f"build {build.id} {build.source} {build.version} {build.architecture} ", state(build.state))
    if build.started and build.ended:
        line.append(f" in {took(build)}")
    if build.why and build.state is not BuildState.FULLYBUILT:
        line.append(f": {build.why}")
    if build.dependencies and "missing: " not in build.why:
        line.append(f" (missing: {', '.join(build.dependencies)})")
    return line


def failure(builds: Iterable[Build]) -> Failed | None:
    """Return the error for builds that ended without packages; None if all are built."""
    failed = [one for one in builds if one.state is not BuildState.FULLYBUILT]
    if not failed:
        return None
    first = failed[0]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return Failed(f"{end_words(first).plain}{more}; its log: `buildd-master build log {first.id}`", answered=True)
