"""Whom a certificate speaks for: every identity survives its URI, and every way to be another's is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificates.identity import CertificateRole, Identity, Shown, fault, identity_of
from tests.fix_certificates import FARM, builder_of, master_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEGINS, ENDS = NOW - timedelta(days=1), NOW + timedelta(days=1)

farms = st.uuids().map(str)
names = st.from_regex(r"[a-z0-9][a-z0-9+._-]{0,63}", fullmatch=True)
identities = st.one_of(
    farms.map(lambda farm: Identity(farm, CertificateRole.MASTER)),
    st.builds(Identity, farms, st.just(CertificateRole.BUILDER), names),
)


def shown(identity: Identity | None, begins: datetime = BEGINS, ends: datetime = ENDS) -> Shown:
    return Shown("1f", identity, begins, ends)


@given(identities)
def test_every_identity_comes_back_from_its_uri(identity: Identity) -> None:
    assert identity_of(identity.uri) == identity


@given(st.text() | st.from_regex(r"buildd:[0-9a-f-]{36}/[a-z/]{0,20}", fullmatch=True))
def test_only_the_uri_of_an_identity_is_taken_for_one(text: str) -> None:
    found = identity_of(text)
    assert found is None or found.uri == text


@given(identities, identities)
def test_a_certificate_speaks_for_its_own_holder_only(holder: Identity, wanted: Identity) -> None:
    assert (fault(shown(holder), wanted, NOW) == "") == (holder == wanted)


@given(identities, st.integers(-5, 5))
def test_a_certificate_speaks_only_from_its_first_to_its_last_moment(holder: Identity, days: int) -> None:
    now = NOW + timedelta(days=days)
    assert (fault(shown(holder), holder, now) == "") == (BEGINS <= now <= ENDS)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (shown(None), "says of no builder or master"),
        (shown(builder_of("frog")), "shows the certificate of builder 'frog', not of 'bob'"),
        (shown(master_of()), "shows the certificate of a master, not of builder 'bob'"),
        (shown(builder_of("bob", str(UUID(int=7)))), "another farm (00000000-0000-0000-0000-000000000007"),
        (shown(builder_of("bob"), ends=NOW - timedelta(hours=1)), "expired on 2026-03-01 11:00:00 UTC"),
        (shown(builder_of("bob"), begins=NOW + timedelta(hours=1)), "valid only from 2026-03-01 13:00:00 UTC"),
    ],
)
def test_what_is_wrong_is_said_in_words_with_the_serial(one: Shown, words: str) -> None:
    said = fault(one, builder_of("bob"), NOW)
    assert words in said
    assert "serial 1f" in said
    assert FARM not in said
