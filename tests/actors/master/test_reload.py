"""What a running master makes of settings that were read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.master.reload import RELOADED, reload
from actors.master.settings_file import load_settings
from actors.settings import Settings

#: another value for every key, as a file may have it
OTHERS: dict[str, object] = {
    "state_directory": "/srv/farm",
    "database": "host=db.internal",
    "user": "farmer",
    "admin_port": 4711,
    "webhook": "https://hooks.example/farm",
    "keep_events_days": 400,
    "enroll_listen": "0.0.0.0:8220",
    "files_listen": "10.0.0.1:8219",
    "files_url": "http://farm.lan:8219",
    "builders_per_nursery": 16,
    "limits": {"wall_seconds": 3600, "memory_bytes": 1 << 30},
    "log_level": "DEBUG",
    "timers": {"lost": 30.0, "connect": 3.0},
    "verdicts": {"failures": 7},
    "crashes": 5,
    "crash_window_seconds": 10.0,
    "fresh_starts": 1,
    "fresh_start_window_seconds": 60.0,
    "stop_seconds": 3.0,
}


def settings_with(names: set[str]) -> Settings:
    return Settings.model_validate({"state_directory": "/srv/this", **{name: OTHERS[name] for name in names}})


@given(st.sets(st.sampled_from(sorted(Settings.model_fields))), st.sets(st.sampled_from(sorted(Settings.model_fields))))
def test_what_is_read_again_counts_at_once_or_is_named_as_waiting_and_nothing_else_changes(
    before: set[str], after: set[str]
) -> None:
    running, read = settings_with(before), settings_with(after)
    found = reload(running, read)
    differing = before ^ after
    assert {key.partition(".")[0] for key in found.changed} == differing & RELOADED
    assert set(found.waiting) == differing - RELOADED
    for name in Settings.model_fields:
        assert getattr(found.settings, name) == getattr(read if name in RELOADED else running, name)
    assert reload(found.settings, read).changed == ()


def test_the_keys_of_a_section_are_named_one_by_one() -> None:
    changed = reload(settings_with(set()), settings_with({"timers", "limits"})).changed
    assert changed == ("limits.wall_seconds", "limits.memory_bytes", "timers.connect", "timers.lost")


def test_a_default_that_depends_on_who_asks_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUILDD_MASTER_STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one")
    running = load_settings()
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/other")
    found = reload(running, load_settings())
    assert (found.changed, found.waiting) == ((), ())
    assert found.settings.state_directory == Path("/var/lib/one")
