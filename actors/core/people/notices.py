"""Which lines of the event log people are told of without asking, and in which words (dispatch-rules §6).

What only a person can mend: a builder that the machine took out of dispatch for good, a chroot that is held back,
dispatch that is paused.  What heals by itself is told nobody.  When a notice is told stands in
`actors.core.people.telling`; the document that travels is described in docs/operating.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

from storage.records import Event, NotOkKind

#: columns whose change may be worth a word: all other events need not be read
COLUMNS: Final = ("notok_kind", "held_back", "paused")

#: dispatch-rules §6: only an operator sets it ok again
FOR_GOOD: Final = frozenset({NotOkKind.BREACH, NotOkKind.FAILURES, NotOkKind.BLACKHOLE})

_MOST_WORDS: Final = 2000  #: characters; fail notes may have any length


class What(StrEnum):
    """What happened; receivers tell by it what to do."""

    BUILDER_DISABLED = "builder_disabled"
    CHROOT_HELD_BACK = "chroot_held_back"
    DISPATCH_PAUSED = "dispatch_paused"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that people are told."""

    event: int  #: id of the event
    what: What
    subject: str  #: `builder:NAME`, `chroot:DISTRIBUTION/SERIES/ARCHITECTURE/POCKET`, `farm`
    words: str  #: one sentence for people
    at: datetime  #: when it happened

    def document(self, farm: str) -> dict[str, str]:
        """Return what is sent; `farm` is the farm's UUID.

        The id is the same each time that this is told, and nothing else has it, not even in a database that was
        restored and counts its events again.
        """
        when = self.at.astimezone(UTC).isoformat()
        return {
            "id": str(uuid5(UUID(farm), f"{self.event} {when}")),
            "farm": farm,
            "what": self.what.value,
            "subject": self.subject,
            "words": self.words,
            "when": when,
        }


def notice(event: Event) -> Notice | None:
    """Return what people are told of `event`; None: nothing.

    Args:
        event: a chroot's with the chroot's name, as `chroot:ubuntu/hoary/i386/RELEASE`, for its subject.
    """
    before, after = event.before or {}, event.after or {}
    kind, _, name = event.subject.partition(":")
    match kind:
        case "builder" if after.get("notok_kind") in FOR_GOOD and before.get("notok_kind") not in FOR_GOOD:
            why = after.get("failnotes") or "no fail notes"
            return _made(event, What.BUILDER_DISABLED, f"{name} gets no work until a person sets it ok again: {why}")
        case "chroot" if after.get("held_back") and not before.get("held_back"):
            words = f"nothing is built in the chroot {name}: it is held back: {after['held_back']}"
            return _made(event, What.CHROOT_HELD_BACK, words)
        case "farm" if after.get("paused") and not before.get("paused"):
            words = f"dispatch is paused by {event.who}: {after['paused']}"
            return _made(event, What.DISPATCH_PAUSED, words, subject="farm")
        case _:
            return None


def _made(event: Event, what: What, words: str, *, subject: str | None = None) -> Notice:
    shortened = words if len(words) <= _MOST_WORDS else f"{words[: _MOST_WORDS - 3]}..."
    return Notice(event.id, what, subject or event.subject, shortened, event.at)
