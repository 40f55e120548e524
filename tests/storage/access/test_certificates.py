"""What was issued, to whom, and the tokens to enrol with: once, for one builder, for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from certificates.files import CertificateFiles
from certificates.making import fits, new_key, new_request, read_shown, signed_by
from storage.access.authority import FarmAuthority, look_after
from storage.access.certificates import Certificates, expiring, warning
from storage.database.connection import acting, farm_id
from storage.errors import AuthorityUnusable, BadValue, EnrolmentRefused, UnknownCertificate
from storage.records import Certificate
from tests.fix_certificates import builder_of, master_of
from tests.fix_storage import Farm

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
SECRET, OTHER = "ab" * 32, "cd" * 32


def at_work(farm: Farm, place: Path, now: datetime = NOW) -> FarmAuthority:
    return FarmAuthority(farm.conn, place, now)


def issue(farm: Farm, place: Path, builder: str = "bob", life: timedelta = timedelta(days=365)) -> str:
    """Issue a certificate to a slave, and return its serial."""
    with farm.acting("person"):
        authority = at_work(farm, place)
        authority.open()
        return authority.issue(builder, new_request(new_key()), life).shown.serial


def last(farm: Farm) -> Certificate:
    return Certificates(farm.conn).all()[-1]


def test_a_new_authority_gives_the_master_a_certificate_and_is_made_once(farm: Farm, tmp_path: Path) -> None:
    with farm.acting("person"):
        assert not at_work(farm, tmp_path).there
        made = at_work(farm, tmp_path).open()
    files = CertificateFiles(tmp_path / "tls", server=False)
    assert files.context().get_ca_certs()
    (master,) = Certificates(farm.conn).all()
    assert read_shown(master.pem).identity == master_of(farm_id(farm.conn))
    assert signed_by(master.pem, made.pem)
    with farm.acting("person"):
        assert at_work(farm, tmp_path).open().pem == made.pem
    assert len(Certificates(farm.conn).all()) == 1
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "ca" / "ca.pem").stat().st_mode & 0o777 == 0o600


def test_what_can_not_be_read_is_named_and_not_replaced(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.pem").write_text("spoilt")
    with pytest.raises(AuthorityUnusable, match=r"ca/ca\.pem can't be used"), farm.acting("person"):
        at_work(farm, tmp_path).open()
    assert (tmp_path / "ca" / "ca.pem").read_text() == "spoilt"


def test_a_builder_knows_what_was_issued_to_it_and_what_was_revoked(farm: Farm, tmp_path: Path) -> None:
    farm.builder("bob")
    farm.builder("frog")
    first, second = issue(farm, tmp_path), issue(farm, tmp_path)
    (one, other) = farm.builders.get("bob").certificates
    assert (one.serial, one.revoked, one.pem) == (first, None, "")
    assert (other.serial, other.revoked) == (second, None)
    assert read_shown(other.pem).identity == builder_of("bob", farm_id(farm.conn))
    assert farm.builders.get("frog").certificates == ()
    with farm.acting("person"):
        (revoked,) = Certificates(farm.conn).revoke(second)
    assert revoked.serial == second
    (one, other) = farm.builders.get("bob").certificates
    assert one.pem
    assert other.revoked is not None
    assert other.revoked.endswith(" UTC")
    assert other.pem == ""


def test_revoking_a_builder_revokes_all_it_has_and_nobody_elses(farm: Farm, tmp_path: Path) -> None:
    farm.builder("bob")
    farm.builder("frog")
    serials = {issue(farm, tmp_path), issue(farm, tmp_path)}
    issue(farm, tmp_path, "frog")
    with farm.acting("person"):
        assert {one.serial for one in Certificates(farm.conn).revoke("bob")} == serials
    assert [one.name for one in Certificates(farm.conn).all() if one.revoked] == ["bob", "bob"]
    with pytest.raises(UnknownCertificate, match="bob"), farm.acting("person"):
        Certificates(farm.conn).revoke("bob")


def test_what_is_revoked_stays_revoked(farm: Farm, tmp_path: Path) -> None:
    farm.builder("bob")
    issue(farm, tmp_path)
    farm.sql("UPDATE certificate SET revoked = now() WHERE role = 'builder'")
    with pytest.raises(psycopg.errors.CheckViolation, match="stays revoked"):
        farm.sql("UPDATE certificate SET revoked = NULL WHERE role = 'builder'")


def test_a_builder_that_is_removed_takes_its_certificates_with_it(farm: Farm, tmp_path: Path) -> None:
    farm.builder("bob")
    issue(farm, tmp_path)
    with farm.acting("person"):
        farm.builders.remove("bob")
    assert last(farm).revoked is not None
    farm.builder("bob")
    assert farm.builders.get("bob").certificates == ()


def test_every_change_of_a_certificate_is_an_event_and_is_told(farm: Farm, tmp_path: Path) -> None:
    farm.builder("bob")
    farm.conn.execute("LISTEN farm")
    issue(farm, tmp_path)
    with farm.acting("person", "lost"):
        Certificates(farm.conn).revoke("bob")
    told = [notify.payload for notify in farm.conn.notifies(timeout=0.2, stop_after=3)]
    farm.conn.execute("UNLISTEN farm")
    assert sum('"certificate"' in payload and '"bob"' in payload for payload in told) == 2
    story = farm.events.story("certificate:bob")
    assert [(event.who, event.what, event.why) for event in story] == [
        ("person", "insert", ""),
        ("person", "revoked", "lost"),
    ]


def test_a_token_is_good_once_for_its_builder(farm: Farm) -> None:
    farm.builder("bob")
    with farm.acting("person"):
        Certificates(farm.conn).add_token("bob", SECRET, HOUR)
    with farm.acting("web"):
        assert Certificates(farm.conn).use_token(SECRET) == "bob"
    with pytest.raises(EnrolmentRefused, match="the token for 'bob' was used on"), farm.acting("web"):
        Certificates(farm.conn).use_token(SECRET)


def test_an_enrolment_that_fails_does_not_use_the_token_up(farm: Farm) -> None:
    farm.builder("bob")
    with farm.acting("person"):
        Certificates(farm.conn).add_token("bob", SECRET, HOUR)
    with pytest.raises(ZeroDivisionError), farm.acting("web"):
        raise ZeroDivisionError(Certificates(farm.conn).use_token(SECRET))
    with farm.acting("web"):
        assert Certificates(farm.conn).use_token(SECRET) == "bob"


def test_a_token_expires_and_a_later_one_replaces_it(farm: Farm) -> None:
    farm.builder("bob")
    with farm.acting("person"):
        Certificates(farm.conn).add_token("bob", SECRET, timedelta(0))
    with pytest.raises(EnrolmentRefused, match="the token for 'bob' expired on"), farm.acting("web"):
        Certificates(farm.conn).use_token(SECRET)
    with farm.acting("person"):
        Certificates(farm.conn).add_token("bob", OTHER, HOUR)
    with pytest.raises(EnrolmentRefused, match="no such token"), farm.acting("web"):
        Certificates(farm.conn).use_token(SECRET)


def test_there_is_no_token_for_nobody(farm: Farm) -> None:
    with pytest.raises(BadValue), farm.acting("person"):
        Certificates(farm.conn).add_token("nobody", SECRET, HOUR)


def test_what_expires_within_30_days_is_warned_of_unless_there_is_a_later_one(farm: Farm, tmp_path: Path) -> None:
    farm.builder("bob")
    issue(farm, tmp_path, life=timedelta(days=29, hours=1))
    (soon,) = expiring(Certificates(farm.conn).all(), NOW)
    assert warning(soon, NOW).startswith("the certificate of builder bob expires in 29 days, on ")
    assert expiring(Certificates(farm.conn).all(), NOW - timedelta(days=2)) == ()
    assert "expired on" in warning(soon, NOW + timedelta(days=60))
    assert "ca issue bob" in warning(soon, NOW + timedelta(days=60))
    issue(farm, tmp_path)
    assert expiring(Certificates(farm.conn).all(), NOW) == ()


def test_what_has_a_third_of_its_life_left_is_renewed_for_the_same_key(farm: Farm, tmp_path: Path) -> None:
    farm.builder("bob")
    key = new_key()
    with acting(farm.conn, "person"):
        authority = at_work(farm, tmp_path)
        authority.open()
        authority.issue("bob", new_request(key), timedelta(days=300))
        assert authority.renew_due() == ()
        assert at_work(farm, tmp_path, NOW + timedelta(days=199)).renew_due() == ()
        (renewed,) = at_work(farm, tmp_path, NOW + timedelta(days=202)).renew_due()
        assert at_work(farm, tmp_path, NOW + timedelta(days=202)).renew_due() == ()
    assert fits(key, renewed.pem)
    assert [one.pem for one in farm.builders.get("bob").certificates if one.pem] == [renewed.pem]


def test_the_masters_certificate_is_renewed_even_when_it_has_expired(farm: Farm, tmp_path: Path) -> None:
    with farm.acting("person"):
        at_work(farm, tmp_path).open()
        before = (tmp_path / "tls" / "own.pem").read_text()
        (renewed,) = at_work(farm, tmp_path, NOW + timedelta(days=400)).renew_due()
    after = (tmp_path / "tls" / "own.pem").read_text()
    assert renewed.pem in after
    assert before != after


def test_a_farm_without_an_authority_has_nothing_to_renew(farm: Farm, tmp_path: Path) -> None:
    with farm.acting("person"):
        assert at_work(farm, tmp_path).renew_due() == ()
    assert list(tmp_path.iterdir()) == []


def test_people_are_warned_once_a_day_by_an_event_and_what_is_due_is_renewed(
    farm: Farm, shared_database: str, tmp_path: Path
) -> None:
    farm.builder("bob")
    issue(farm, tmp_path, life=timedelta(days=40))
    assert look_after(shared_database, tmp_path, NOW) == ()
    with farm.acting("person"):
        farm.sql(
            "UPDATE certificate SET not_before = now() - interval '300 days', not_after = now() + interval '29 days'"
            " WHERE role = 'builder'"
        )
        (tmp_path / "ca").rename(tmp_path / "kept")  # nobody can renew it
    (told,) = look_after(shared_database, tmp_path, NOW)
    assert told.startswith("the certificate of builder bob expires in 2")
    assert look_after(shared_database, tmp_path, NOW) == ()
    assert look_after(shared_database, tmp_path, NOW + timedelta(days=2)) != ()
    warned = [event for event in farm.events.story("certificate:bob") if event.what == "warned"]
    assert (warned[0].who, warned[0].why) == ("master", told)
    (tmp_path / "kept").rename(tmp_path / "ca")
    assert look_after(shared_database, tmp_path, NOW + timedelta(days=3)) == ()
    renewed = last(farm)
    assert renewed.not_after == NOW.replace(microsecond=0) + timedelta(days=368)
    assert farm.events.story("certificate:bob")[-1].why == "a third of its life was left"


def test_a_row_that_somebody_spoilt_is_told_of_and_takes_nobody_down(
    farm: Farm, shared_database: str, tmp_path: Path
) -> None:
    farm.builder("bob")
    issue(farm, tmp_path, life=timedelta(days=9))
    farm.sql("UPDATE certificate SET pem = 'spoilt', not_before = now() - interval '90 days' WHERE role = 'builder'")
    with pytest.raises(AuthorityUnusable, match="no certificate can be renewed"):
        look_after(shared_database, tmp_path, NOW)
