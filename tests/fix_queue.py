"""Jobs and builders as dispatch sees them, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from storage.records import ArchivePurpose, Builder, BuildState, Job, Pocket, Urgency

EPOCH = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def a_builder(name: str = "bob", **fields: Any) -> Builder:
    """Return a builder row: ok, trusted, of family x86, unless `fields` say otherwise."""
    row: dict[str, Any] = {
        "id": 1,
        "name": name,
        "url": "buildd://127.0.0.1:8221",
        "families": ("x86",),
        "trusted": True,
        "builderok": True,
        "failnotes": "",
        "notok_by": None,
        "notok_kind": None,
        "manual": False,
        "tags": (),
        "architectures": ("i386",),
    }
    return Builder(**(row | fields))


def a_job(number: int = 1, *, hours: float = 0.0, **fields: Any) -> Job:
    """Return a waiting job that a builder of `a_builder` may run, `hours` younger than `EPOCH`."""
    row: dict[str, Any] = {
        "id": number,
        "build": number,
        "source": "foo",
        "version": "1.0-1",
        "family": "x86",
        "trusted": True,
        "archive": "primary",
        "distroarchseries": "ubuntu/hoary/i386",
        "pocket": Pocket.RELEASE,
        "component": "main",
        "urgency": Urgency.LOW,
        "purpose": ArchivePurpose.PRIMARY,
        "owner": None,
        "private": False,
        "relative_score": 0,
        "manual_score": None,
        "created": EPOCH + timedelta(hours=hours),
        "builder": None,
        "buildstart": None,
        "state": BuildState.NEEDSBUILD,
        "has_chroot": True,
        "archive_enabled": True,
        "files_missing": (),
    }
    return Job(**(row | fields))
