"""What a shell and its cores were told and what came of it, where they keep no story of their own; for people.

Lines are put into words when somebody reads them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LENGTH = 400  #: lines: 200 events, and what was answered


class Notes:
    """The last lines."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lines: deque[tuple[float | None, tuple[tuple[type, str], ...]]] = deque(maxlen=LENGTH)

    def heard(self, at: float, thing: object) -> None:
        """Note an event or a report; `at` is in monotonic seconds."""
        self._lines.append((at, ((type(thing), _subject(thing)),)))

    def answered(self, things: Iterable[object]) -> None:
        """Note what came of it, if anything did."""
        kinds = tuple((type(thing), _subject(thing)) for thing in things)
        if kinds:
            self._lines.append((None, kinds))

    def lines(self) -> tuple[str, ...]:
        """Return all of it in words, the oldest first."""
        return tuple(
            (f"{at:.3f} " if at is not None else f"{'':8}→ ")
            + ", ".join(f"{kind.__name__}({subject})" for kind, subject in kinds)
            for at, kinds in self._lines
        )


def _subject(thing: object) -> str:
    """Return whom an event or a message is about, where it is a name."""
    thing = getattr(thing, "start", thing)
    for field in ("builder", "name", "nursery"):
        found = getattr(thing, field, None)
        found = getattr(found, "name", found)
        if isinstance(found, str):
            return found
    return ""
