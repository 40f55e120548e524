"""Where builds are watched: news and log lines, and on a terminal one line below that says what goes on now."""

from __future__ import annotations

import sys
from typing import Self, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from cli.builds.log_reading import harmless
from cli.terminal.output import console, note


class Screen:
    """News and logs of builds, as they come."""

    def __init__(self, *, quiet: bool) -> None:
        """Choose the stream.

        Args:
            quiet: stdout is kept for the answer; everything here goes to stderr.
        """
        self._out: Console = console(err=quiet)
        self._raw = sys.stderr if quiet else sys.stdout
        self.live = sys.stderr.isatty() if quiet else sys.stdout.isatty()
        self._status = Status("", console=self._out) if self.live else None
        self._now: dict[int, str] = {}

    def __enter__(self) -> Self:
        """Show the line below."""
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        if self._status is not None:
            self._status.stop()

    def news(self, text: Text) -> None:
        """Print a line about a build."""
        if self.live:
            self._out.print(text, soft_wrap=True)
        else:
            note(text.plain)

    def now(self, build: int, words: str) -> None:
        """Say what goes on with a build, until the next word about it; empty: nothing any more."""
        if words:
            self._now[build] = words
        else:
            self._now.pop(build, None)
        if self._status is not None:
            line = Text(" · ".join(self._now.values()), overflow="ellipsis", no_wrap=True)
            line.truncate(max(20, self._out.width - 4), overflow="ellipsis")
            self._status.update(line)

    def log(self, octets: bytes) -> None:
        """Print whole lines of a log: made harmless on a terminal, as they are into a pipe."""
        if self.live:
            self._out.print(log_text(octets), soft_wrap=True)
        else:
            write_log(octets, self._raw)


def log_text(octets: bytes) -> Text:
    """Return log lines as they may be shown on a terminal."""
    return Text.from_ansi(harmless(octets.decode("utf-8", errors="replace").removesuffix("\n")))


def write_log(octets: bytes, stream: TextIO) -> None:
    """Write log lines as they are."""
    stream.flush()
    stream.buffer.write(octets)
    stream.buffer.flush()
