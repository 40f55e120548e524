"""Tokens of people."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from storage.access.tokens import PREFIX, ApiTokens
from storage.errors import BadValue, TokenRefused, UnknownPerson, UnknownToken
from storage.records import ADMINS
from tests.fix_storage import Farm

DAY = timedelta(days=1)


def create(farm: Farm, person: str = "cprov", life: timedelta | None = DAY, label: str = "") -> str:
    with farm.acting("root", "token create"):
        return ApiTokens(farm.conn).create(person, life, label)[0]


def test_who_shows_a_token_is_its_person_with_all_their_teams(farm: Farm) -> None:
    token = create(farm)
    with farm.acting("root"):
        farm.people.add_member(ADMINS, "cprov")
    person, row = ApiTokens(farm.conn).holder(token)
    assert (person.name, person.teams) == ("cprov", (ADMINS,))
    assert (row.person, row.label, row.last_used, row.revoked, row.expired) == ("cprov", "", None, None, False)
    assert row.expires is not None
    assert row.expires - row.created == DAY


def test_two_tokens_are_never_the_same(farm: Farm) -> None:
    tokens = {create(farm) for _ in range(5)}
    assert len(tokens) == 5
    assert all(token.startswith(PREFIX) and len(token) == len(PREFIX) + 43 for token in tokens)


def test_no_event_and_no_row_has_the_secret(farm: Farm) -> None:
    token = create(farm, label="cron")
    with farm.acting("root"):
        ApiTokens(farm.conn).note_used(1)
        ApiTokens(farm.conn).revoke(1)
    events = farm.events.story("token:1")
    assert [(one.who, one.what) for one in events] == [("root", "insert"), ("root", "revoked")]
    assert events[0].after is not None
    assert events[0].after.keys() == {"id", "person", "label", "created", "expires", "revoked"}
    (hashed,) = farm.sql("SELECT hash FROM api_token")
    everything = farm.sql("SELECT event::text FROM event UNION ALL SELECT api_token::text FROM api_token")
    assert not any(token in row or token.removeprefix(PREFIX) in row for (row,) in everything)
    assert not any(hashed[0] in str(event) for event in farm.events.list(limit=1000))


@pytest.mark.parametrize(
    "token", ["", "garbage", PREFIX, PREFIX + "x" * 42, PREFIX + "x" * 44, "x" + PREFIX + "x" * 43, PREFIX + "/" * 43]
)
def test_garbage_is_refused_without_repeating_it(farm: Farm, token: str) -> None:
    with pytest.raises(TokenRefused, match="this is no token") as refused:
        ApiTokens(farm.conn).holder(token)
    assert token in {"", PREFIX} or token not in str(refused.value)


def test_a_token_that_this_farm_does_not_know_is_refused(farm: Farm) -> None:
    token = PREFIX + "x" * 43
    with pytest.raises(TokenRefused, match="this farm knows no such token") as refused:
        ApiTokens(farm.conn).holder(token)
    assert token not in str(refused.value)


def test_a_revoked_token_opens_nothing_and_stays_revoked(farm: Farm) -> None:
    token = create(farm)
    with farm.acting("root"):
        revoked = ApiTokens(farm.conn).revoke(1)
    assert revoked.revoked is not None
    with pytest.raises(TokenRefused, match=r"token 1 of cprov was revoked on 20.* UTC; `buildd-master token create"):
        ApiTokens(farm.conn).holder(token)
    with farm.acting("root"):
        assert ApiTokens(farm.conn).revoke(1) == revoked
    with pytest.raises(psycopg.errors.CheckViolation, match="stays revoked"):
        farm.sql("UPDATE api_token SET revoked = NULL")
    with pytest.raises(psycopg.errors.CheckViolation, match="keeps its hash"):
        farm.sql("UPDATE api_token SET hash = repeat('a', 64)")


def test_an_expired_token_opens_nothing(farm: Farm) -> None:
    token = create(farm, life=timedelta(0))
    with pytest.raises(TokenRefused, match=r"token 1 of cprov expired on 20.* UTC"):
        ApiTokens(farm.conn).holder(token)
    assert ApiTokens(farm.conn).get(1).expired


def test_a_token_may_last_for_ever(farm: Farm) -> None:
    token = create(farm, life=None)
    assert ApiTokens(farm.conn).holder(token)[1].expires is None


def test_the_use_of_a_token_is_remembered_to_a_minute_and_is_no_event(farm: Farm) -> None:
    create(farm)
    tokens, last = ApiTokens(farm.conn), farm.events.last_id()
    tokens.note_used(1)
    first = tokens.get(1).last_used
    assert first is not None
    tokens.note_used(1)
    assert tokens.get(1).last_used == first
    farm.sql("UPDATE api_token SET last_used = last_used - interval '61 seconds'")
    tokens.note_used(1)
    assert (tokens.get(1).last_used or first) > first
    assert farm.events.last_id() == last


def test_tokens_are_listed_of_all_or_of_one(farm: Farm) -> None:
    with farm.acting("root"):
        farm.people.add("anna")
    create(farm, label="laptop")
    create(farm, "anna")
    tokens = ApiTokens(farm.conn)
    assert [(one.id, one.person, one.label) for one in tokens.all()] == [(1, "cprov", "laptop"), (2, "anna", "")]
    assert [one.id for one in tokens.all("anna")] == [2]


def test_the_tokens_of_who_was_removed_are_unknown(farm: Farm) -> None:
    with farm.acting("root"):
        farm.people.add("anna")
    token = create(farm, "anna")
    with farm.acting("root"):
        farm.people.remove("anna")
    with pytest.raises(TokenRefused, match="its person was removed"):
        ApiTokens(farm.conn).holder(token)


def test_what_can_not_be_is_refused(farm: Farm) -> None:
    with pytest.raises(UnknownPerson, match="'bob'"):
        create(farm, "bob")
    with pytest.raises(BadValue, match="at most 100 letters on one line"):
        create(farm, label="two\nlines")
    with pytest.raises(UnknownToken, match="no token '7' here"):
        ApiTokens(farm.conn).revoke(7)
    assert ApiTokens(farm.conn).all() == ()
