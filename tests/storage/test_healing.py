"""Whose mark stands, whatever comes in whatever order.  On PostgreSQL and in memory."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.records import NotOkBy, NotOkKind
from tests.fix_storage import Stage

Word = NotOkKind | str  #: the machine's mark of a kind, or "heal", "person: not ok", "person: ok"
words = st.sampled_from([*NotOkKind, "heal", "heal", "person: not ok", "person: ok"])


def mark_after(mark: Word | None, word: Word) -> Word | None:
    """Return whose mark stands after `word`: None, "person", or the machine's kind."""
    match word:
        case "person: ok":
            return None
        case "person: not ok":
            return "person"
        case "heal":
            return None if isinstance(mark, NotOkKind) and mark.heals else mark
        case NotOkKind():
            lasts = isinstance(mark, NotOkKind) and not mark.heals
            return mark if mark == "person" or (lasts and word.heals) else word
        case _:
            raise AssertionError(word)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(words, max_size=12))
def test_what_a_person_marked_only_a_person_clears_and_what_does_not_heal_is_never_replaced_by_what_does(
    stage: Stage, story: list[Word]
) -> None:
    if "bob" not in {builder.name for builder in stage.builders.all()}:
        stage.builder("bob")
    stage.builders.set_ok("bob", ok=True)
    mark: Word | None = None
    for number, word in enumerate(story):
        before = stage.builders.get("bob")
        match word:
            case "heal":
                stage.builders.heal("bob")
            case "person: ok" | "person: not ok":
                stage.builders.set_ok("bob", ok=word == "person: ok", notes=f"note {number}")
            case NotOkKind():
                stage.builders.mark_not_ok("bob", f"note {number}", word)
        after, mark = stage.builders.get("bob"), mark_after(mark, word)
        by = None if mark is None else NotOkBy.PERSON if mark == "person" else NotOkBy.MACHINE
        kind = mark if by is NotOkBy.MACHINE else None
        assert (after.builderok, after.notok_by, after.notok_kind) == (mark is None, by, kind)
        if mark == "person" and word != "person: not ok":
            assert after.failnotes == before.failnotes
