"""Source package releases; on PostgreSQL and in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.errors import (
    BadValue,
    UnknownComponent,
    UnknownSource,
)
from storage.records import (
    NamedFile,
    NewSource,
    Urgency,
)
from storage.words.sources import dsc_of
from tests.fix_storage import Stage, named

FOO = NewSource("foo", "1.0-1", "main", Urgency.LOW, ("any", "all"), (named("foo_1.0-1.dsc"), named("foo_1.0.tar.xz")))


def test_a_source_is_registered_once(stage: Stage) -> None:
    with stage.acting("cli"):
        first = stage.sources.add(FOO)
        assert stage.sources.add(FOO) == first
        other = replace(FOO, files=(named("foo_1.0-1.dsc", "other content"), *FOO.files[1:]))
        assert stage.sources.add(other) != first
    source = stage.sources.get(first)
    assert (source.name, source.version, source.component, source.urgency) == ("foo", "1.0-1", "main", Urgency.LOW)
    assert (source.architectures, source.files) == (("any", "all"), FOO.files)
    with pytest.raises(UnknownSource, match="999"):
        stage.sources.get(999)


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        (replace(FOO, component="mainly"), UnknownComponent, "'mainly'.*main, multiverse"),
        (replace(FOO, name="Foo"), BadValue, "source 'Foo'"),
        (replace(FOO, name="../foo"), BadValue, "source '../foo'"),
        (replace(FOO, version=""), BadValue, "version ''"),
        (replace(FOO, version="1.0 1"), BadValue, "version '1.0 1'"),
        (replace(FOO, version="1.0-1\n"), BadValue, "version"),
        (replace(FOO, version="0:"), BadValue, "version '0:' of foo is no Debian version"),
        (
            replace(FOO, urgency="sometime"),  # type: ignore[arg-type]
            BadValue,
            "urgency 'sometime' of foo can't be: low, medium, high, emergency",
        ),
        (replace(FOO, architectures=()), BadValue, "no architecture"),
        (replace(FOO, files=()), BadValue, "0 .dsc files"),
        (replace(FOO, files=FOO.files[1:]), BadValue, "0 .dsc files"),
        (replace(FOO, files=(*FOO.files, named("bar.dsc"))), BadValue, "2 .dsc files"),
        (replace(FOO, files=(*FOO.files, FOO.files[1])), BadValue, "'foo_1.0.tar.xz' is named twice"),
        (replace(FOO, files=(*FOO.files, named("../foo"))), BadValue, "filename '../foo'"),
        (replace(FOO, files=(*FOO.files, named(".."))), BadValue, "filename '..'"),
        (replace(FOO, files=(*FOO.files, NamedFile("foo", "beef", 1))), BadValue, "'beef' is no SHA-256"),
        (replace(FOO, files=(*FOO.files, NamedFile("foo", "0" * 64, -1))), BadValue, "-1 is no size"),
    ],
)
def test_a_source_that_can_not_be_is_refused_whole(
    stage: Stage, source: NewSource, error: type[Exception], match: str
) -> None:
    last = stage.events.last_id()
    with pytest.raises(error, match=match), stage.acting("cli"):
        stage.sources.add(source)
    assert stage.events.last_id() == last


def test_the_dsc_of_a_source_is_found() -> None:
    assert dsc_of(FOO) is FOO.files[0]
