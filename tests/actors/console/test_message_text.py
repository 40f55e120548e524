"""Messages as a person types them."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import messages
from actors.console.message_text import BadMessage, describe_message, message_types, read_message
from storage.records import Builder, NotOkKind, Outcome, StoredFile

ATTEMPT = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


def test_enumerations_identifiers_and_nested_records_are_read() -> None:
    typed = f"""Finished("bob", 1, session=2, attempt="{ATTEMPT}", outcome=PACKAGEFAIL, dependencies=("a", "b"),
        results=[ResultStored("x.deb", StoredFile("aa", "bb", 3))], log=None, text="no luck")"""
    assert read_message(typed) == messages.Finished(
        "bob",
        1,
        2,
        UUID(ATTEMPT),
        Outcome.PACKAGEFAIL,
        "no luck",
        ("a", "b"),
        (messages.ResultStored("x.deb", StoredFile("aa", "bb", 3)),),
    )


@pytest.mark.parametrize("kind", ["CRASH", '"crash"', '"CRASH"', "NotOkKind.CRASH"])
def test_an_enumeration_is_named_in_any_usual_way(kind: str) -> None:
    typed = f'BuilderTroubled(builder="bob", generation=1, kind={kind}, failnotes="")'
    assert read_message(typed) == messages.BuilderTroubled("bob", 1, NotOkKind.CRASH, "")


def test_a_message_without_fields_needs_no_parentheses() -> None:
    assert read_message("Describe") == read_message("Describe()") == messages.Describe()


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("Crahs()", "did you mean Crash"),
        ("Crash(", "can't be read"),
        ("", "can't be read"),
        ("Crash(why='x')", "no field 'why'; it has reason"),
        ("Crash('x', reason='y')", "given twice"),
        ("Crash('x', 'y')", "2 values for 1 fields"),
        ("Crash(reason=3)", "Crash.reason: 3 is no str"),
        ("Retire()", "builder missing"),
        ('Ready("bob", True, 1)', "Ready.generation: True is no int"),
        ('Ready("bob", 1.0, 1)', "Ready.generation: 1.0 is no int"),
        ('Retire("a\\0b")', "Retire.builder: .* is no str"),
        ('Retire("a\\ud800b")', "Retire.builder: .* is no str"),
        (f'Ready("bob", 1, {2**63})', "Ready.session: .* is no int"),
        (
            'BuilderChanged(Builder(1, "b", "u", (), True, True, "", None, None, False, (), (), quarantined_until="2026-01-01"))',
            "BuilderChanged.builder.quarantined_until: '2026-01-01' is no ",
        ),
        ('Started("bob", 1, "x")', "Started.attempt: 'x' is no UUID"),
        ('BuilderTroubled("bob", 1, WORSE, "")', "'WORSE' is none of UNREACHABLE"),
        (f'Finished("b", 1, 2, "{ATTEMPT}", OK, log=3)', "Finished.log: 3 is no ResultStored"),
        (f'Finished("b", 1, 2, "{ATTEMPT}", OK, results=(1,))', r"Finished.results\[0\]: 1 is no ResultStored"),
        ("BuilderChanged(StoredFile('a', 'b', 1))", "is no Builder"),
        ("BuildersKnown(builders=None)", "None is no tuple"),
        ("Crash(reason=open('/etc/passwd').read())", "is no str"),
        ("__import__('os').system('true')", "no message"),
        ("Crash(**{'reason': 'x'})", "no field None"),
        ("Crash(*['x'])", "is no str"),
        ("messages.Crash()", "no message"),
        ("1 + 1", "no message"),
        ("(" * 300 + ")" * 300, "can't be read"),
        *((f"Retire({one * 800}1)", "can't be read: it goes too deep") for one in ("-", "1+", "not ", "lambda:")),
        ("Retire(" + "1+" * 150 + "1)", r"Retire.builder: 1 \+ 1 .{190,194}… is no str$"),
    ],
)
def test_nonsense_is_refused_with_the_reason(typed: str, reason: str) -> None:
    with pytest.raises(BadMessage, match=reason):
        read_message(typed)


def test_every_message_has_help() -> None:
    for name, kind in message_types().items():
        text = describe_message(name)
        assert all(field.name in text for field in dataclasses.fields(kind))
        assert (kind.__doc__ or "").splitlines()[0] in text


def test_help_names_types_as_they_are_typed() -> None:
    assert "builders: tuple[Builder, ...]" in describe_message("BuildersKnown")


values = {
    messages.SessionWanted: st.builds(messages.SessionWanted),
    messages.Finished: st.builds(messages.Finished),
    messages.BuilderTroubled: st.builds(messages.BuilderTroubled),
    messages.BuilderChanged: st.builds(messages.BuilderChanged, builder=st.builds(Builder)),
    messages.Recorded: st.builds(messages.Recorded),
}


def typed(thing: object) -> str:
    """Spell a value as a person would."""
    if dataclasses.is_dataclass(thing):
        fields = ((field.name, getattr(thing, field.name)) for field in dataclasses.fields(thing))
        return f"{type(thing).__name__}({', '.join(f'{name}={typed(value)}' for name, value in fields)})"
    if isinstance(thing, tuple):
        return f"[{', '.join(map(typed, thing))}]"
    if isinstance(thing, UUID):
        return repr(str(thing))
    if isinstance(thing, Outcome | NotOkKind):
        return thing.name
    return repr(str(thing)) if isinstance(thing, str) else repr(thing)


def known_everywhere(thing: object) -> bool:
    """Return whether a value can be stored and compared wherever it may go, the database included."""
    if dataclasses.is_dataclass(thing):
        return all(known_everywhere(getattr(thing, field.name)) for field in dataclasses.fields(thing))
    match thing:
        case tuple():
            return all(map(known_everywhere, thing))
        case str():
            return "\0" not in thing and not any("\ud800" <= one <= "\udfff" for one in thing)
        case int():
            return -(2**63) <= thing < 2**63
        case float():
            return math.isfinite(thing)
        case _:
            return True


@given(st.one_of(*values.values()))
def test_what_is_spelled_is_what_is_read_or_refused_if_it_can_not_be_stored(message: object) -> None:
    if known_everywhere(message):
        assert read_message(typed(message)) == message
    else:
        with pytest.raises(BadMessage):
            read_message(typed(message))


@given(st.text(max_size=40))
def test_any_text_is_a_message_or_refused(text: str) -> None:
    with contextlib.suppress(BadMessage):
        read_message(text)
