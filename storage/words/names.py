"""Names and tags: what any word may look like that becomes part of a path or URL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from storage.errors import BadValue

_WORD: Final = re.compile(r"[a-z0-9][a-z0-9+._-]{0,63}")


def check_word(what: str, word: str) -> None:
    """Refuse a name that can't be part of a path or URL.

    Args:
        what: what it names, for the message.
        word: the name.

    Raises:
        BadValue: says what is allowed.
    """
    if not _WORD.fullmatch(word):
        raise BadValue(
            f"{what} {word!r} can't be: 1 to 64 of a-z, 0-9, plus, dot, dash and underscore, a letter or digit first"
        )


def check_tags(tags: Iterable[str]) -> None:
    """Refuse a resource tag that can't be.

    Raises:
        BadValue: names it, and says what is allowed.
    """
    for tag in tags:
        check_word("tag", tag)
