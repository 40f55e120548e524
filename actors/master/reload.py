"""What a running master makes of settings that were read again: what counts at once, and what at its next start.

Decides only; `run_master` reads them on SIGHUP, and `actors.wiring` sends them down the tree of actors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Final

from actors.settings import Settings

#: keys and sections that a running master takes up; the others wait for its next start
RELOADED: Final = frozenset(
    {
        "builders_per_nursery",
        "log_level",
        "webhook",
        "keep_events_days",
        "timers",
        "limits",
        "verdicts",
        "crashes",
        "crash_window_seconds",
        "fresh_starts",
        "fresh_start_window_seconds",
        "stop_seconds",
    }
)


@dataclass(frozen=True, slots=True)
class Reload:
    """What reading the settings again comes to."""

    settings: Settings  #: the farm's from now on
    changed: tuple[str, ...]  #: keys that count at once, as `crashes` or `timers.lost`
    waiting: tuple[str, ...]  #: keys that count at the next start


def reload(running: Settings, read: Settings) -> Reload:
    """Return what a farm with the settings `running` makes of the settings `read`.

    A default that depends on who asks (`state_directory`) counts as unchanged while nobody sets it.
    """
    named = running.model_fields_set | read.model_fields_set
    by_asker = {name for name, field in Settings.model_fields.items() if field.default_factory} - named
    differing = [
        name for name in Settings.model_fields if name not in by_asker and getattr(running, name) != getattr(read, name)
    ]
    counting = [name for name in differing if name in RELOADED]
    return Reload(
        running.model_copy(update={name: getattr(read, name) for name in counting}),
        tuple(key for name in counting for key in _keys(name, getattr(running, name), getattr(read, name))),
        tuple(name for name in differing if name not in RELOADED),
    )


def _keys(name: str, before: object, after: object) -> Iterator[str]:
    """Yield a changed key; of a section, those in it that changed."""
    if not is_dataclass(before):
        yield name
        return
    for key in fields(before):
        if getattr(before, key.name) != getattr(after, key.name):
            yield f"{name}.{key.name}"
