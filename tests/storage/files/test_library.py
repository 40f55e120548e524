"""Names for what the librarian holds; on PostgreSQL and in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.errors import (
    BadValue,
    UnknownFile,
)
from tests.fix_storage import Stage, stored


def test_the_same_name_for_the_same_content_is_the_same_alias(stage: Stage) -> None:
    with stage.acting("cli"):
        first = stage.library.add(stored("foo"), "foo.deb")
        assert stage.library.add(stored("foo"), "foo.deb") == first
        other = stage.library.add(stored("foo"), "bar.tar.zst", "application/x-chroot")
    assert (first.mimetype, other.mimetype) == ("application/vnd.debian.binary-package", "application/x-chroot")
    assert (first.sha256, first.sha1, first.size) == (stored("foo").sha256, stored("foo").sha1, 3)
    assert stage.library.aliases(first.sha256) == (first, other)
    assert stage.library.alias(first.id) == first
    assert stage.library.content(first.sha256) == stored("foo")
    assert stage.library.content("0" * 64) is None
    with pytest.raises(UnknownFile, match="999"):
        stage.library.alias(999)


def test_content_that_contradicts_what_is_known_is_refused(stage: Stage) -> None:
    with stage.acting("cli"):
        stage.library.add(stored("foo"), "foo")
    with pytest.raises(BadValue, match="another size or SHA-1"), stage.acting("cli"):
        stage.library.add(replace(stored("foo"), size=4), "foo")
    for filename in ("", "..", "a/b", "a\nb", "x" * 256):
        with pytest.raises(BadValue, match="filename"), stage.acting("cli"):
            stage.library.add(stored("foo"), filename)
