"""Options for resource tags: what builds ask for, and builders have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from cli.errors import BadInput
from storage.errors import BadValue
from storage.words.names import check_tags

AskedTags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", metavar="TAG", help="Only builders with this resource tag; may be repeated.", show_default=False
    ),
]
HadTags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Resource tag that it has; may be repeated.", show_default=False),
]
RestrictedTags = Annotated[
    list[str] | None,
    typer.Option(
        "--restricted-tag",
        metavar="TAG",
        help="Resource tag that it has, too; it takes only jobs that ask for all of these. May be repeated.",
        show_default=False,
    ),
]
NoRestrictedTags = Annotated[bool, typer.Option("--no-restricted-tags", help="Take all restricted tags back.")]
NoTags = Annotated[bool, typer.Option("--no-tags", help="Take all resource tags back.")]


def chosen(tags: Sequence[str] | None, no_tags: bool, option: str = "--tag") -> tuple[str, ...] | None:  # noqa: FBT001 - an option's value
    """Return the tags that are said; none to take all back; None where nothing is said.

    Args:
        tags: each use of the option.
        no_tags: whether they are taken back.
        option: its name; its opposite is called after it.

    Raises:
        BadInput: both, or a tag that can't be.
    """
    opposite = option.replace("--", "--no-") + "s"
    if tags and no_tags:
        raise BadInput(f"{option} and {opposite} contradict each other: {option} replaces what was said before")
    try:
        check_tags(tags or ())
    except BadValue as wrong:
        raise BadInput(f"{option}: {wrong}") from wrong
    return () if no_tags else tuple(sorted({*tags})) if tags else None


def had(
    tags: Sequence[str] | None,
    restricted: Sequence[str] | None,
    *,
    no_tags: bool = False,
    no_restricted_tags: bool = False,
) -> dict[str, tuple[str, ...]]:
    """Return what the options say of a builder's tags, by the names of `Builders.add` and `change`.

    Raises:
        BadInput: as `chosen`; or a tag is said to be both.
    """
    both = sorted({*(tags or ())} & {*(restricted or ())})
    if both:
        raise BadInput(f"--tag and --restricted-tag both name {', '.join(both)}: a tag is restricted or it is not")
    said = {
        "tags": chosen(tags, no_tags),
        "restricted_tags": chosen(restricted, no_restricted_tags, "--restricted-tag"),
    }
    return {name: value for name, value in said.items() if value is not None}
