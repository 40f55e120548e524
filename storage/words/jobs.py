"""What is said of builds and jobs: scores and reasons."""

from __future__ import annotations

from typing import Final

from storage.errors import BadValue
from storage.records import Build

_MOST_SCORE: Final = 1_000_000


def build_exists(there: Build) -> str:
    """Return in words that a source has a build, and where it stands."""
    return (
        f"{there.source} {there.version} has a build for {there.distroarchseries} in {there.archive}:"
        f" build {there.id}, {there.state}; retry that one, or submit another version"
    )


def check_score(score: int | None) -> None:
    """Refuse a score out of range, manual or of an archive.

    Raises:
        BadValue: says the range.
    """
    if score is not None and abs(score) > _MOST_SCORE:
        raise BadValue(f"score {score} can't be: at most {_MOST_SCORE} either way")


def check_why(why: str) -> None:
    """Refuse an empty reason.

    Raises:
        BadValue: it says nothing.
    """
    if not why.strip():
        raise BadValue("say why: whoever looks at a job that waits will read it")


def given_back(why: str) -> str:
    """Return what is told of an attempt that an operator gave back."""
    return f"given back by an operator: {why}" if why else "given back by an operator"
