"""Progress on stderr: bars and steps that vanish when they are done; one plain line a step where it is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from cli.terminal.output import console, note

_SMALL = 4_000_000  #: bytes; a bar for less would only flicker


@contextmanager
def transferring(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far a file is.

    Args:
        what: said beside the bar.
        total: bytes.

    Yields:
        To be called with the bytes done so far.
    """
    if total < _SMALL or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console(err=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def percent(what: str) -> Iterator[Callable[[float, str], None]]:
    """Show percent of something that says what it is doing.

    Yields:
        To be called with percent and words.
    """
    if not sys.stderr.isatty():
        note(what)
        yield lambda _, __: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=console(err=True), transient=True) as progress:
        task = progress.add_task(what, total=100.0, words="")
        yield lambda done, words: progress.update(task, completed=done, words=words[:50])


@contextmanager
def steps(what: str) -> Iterator[Callable[[str, float], None]]:
    """Show the step that runs, how much of the whole is done, and for how long it has been running.

    Yields:
        To be called with the step, and the share of the whole that is done, from 0 to 1.
    """
    started = time.monotonic()
    if not sys.stderr.isatty():
        former = ""

        def tell(step: str, _: float) -> None:
            nonlocal former
            if step != former:
                note(f"{what}: {time.monotonic() - started:5.1f} s  {step}")
                former = step

        yield tell
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(err=True), transient=True) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda step, done: progress.update(task, description=f"{what}: {step[:40]}", completed=done)
