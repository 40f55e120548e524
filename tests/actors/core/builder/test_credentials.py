"""A slave may speak for its own builder only, and nothing that comes over the wire makes it plain TCP again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.builder.credentials import certificate_fault, needs_tls, successor
from actors.core.builder.orders import Connect, Disconnect, Greet, Order, Send, Tell
from actors.core.builder.session import SessionState
from actors.messages import BuilderTroubled, SessionWanted
from certificates.identity import Shown
from protocol.messages import NewCertificate
from storage.records import KnownCertificate, NotOkKind
from tests.fix_builder import Scene, bob
from tests.fix_certificates import FARM, builder_of, master_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS = Shown("a1", builder_of("bob"), NOW - timedelta(days=1), NOW + timedelta(days=1))
KNOWN = KnownCertificate("a1", None, "")
AWAY = "buildd://192.0.2.7:8221"

serials = st.sampled_from(["a1", "b2", "c3"])
known = st.lists(
    st.builds(KnownCertificate, serials, st.none() | st.just("2026-02-01"), st.just("")),
    unique_by=lambda one: one.serial,
).map(tuple)
holders = st.sampled_from([builder_of("bob"), builder_of("frog"), master_of(), None])


@given(known, serials, holders, st.integers(-3, 3))
def test_only_the_builders_own_valid_recorded_and_unrevoked_certificate_opens_a_session(
    certificates: tuple[KnownCertificate, ...], serial: str, holder: object, days: int
) -> None:
    shown = replace(OURS, serial=serial, identity=holder)  # type: ignore[arg-type]
    why = certificate_fault(bob(certificates=certificates), FARM, shown, NOW + timedelta(days=days))
    in_force = {one.serial for one in certificates if one.revoked is None}
    assert (why == "") == (serial in in_force and holder == builder_of("bob") and -1 <= days <= 1)


@given(st.ip_addresses(), st.booleans())
def test_plain_tcp_is_for_loopback_and_for_builders_without_certificates(address: object, certified: bool) -> None:
    host = f"[{address}]" if ":" in str(address) else str(address)
    row = bob(url=f"buildd://{host}:8221", certificates=(KNOWN,) if certified else ())
    assert needs_tls(row) == (certified or not ip_address(str(address)).is_loopback)


@pytest.mark.parametrize("host", ["slave.example", "localhost.example", "127.1", "0x7f000001"])
def test_a_name_is_no_loopback_address_whatever_it_may_mean(host: str) -> None:
    assert needs_tls(bob(url=f"buildd://{host}:8221"))


def test_a_slave_is_handed_the_certificate_that_lasts_longest_unless_it_has_it() -> None:
    row = bob(certificates=(KNOWN, KnownCertificate("b2", None, "the new one")))
    assert successor(row, OURS) == "the new one"
    assert successor(row, replace(OURS, serial="b2")) == ""
    assert successor(bob(certificates=(KNOWN,)), OURS) == ""


def open_tls(scene: Scene) -> list[Order]:
    scene.begin()
    assert Connect("192.0.2.7", 8221, tls=True) in scene.grant()
    orders = scene.connect(OURS, NOW)
    scene.greet()
    assert scene.core.session.state is SessionState.OPEN
    return orders


def told(orders: list[Order]) -> list[BuilderTroubled]:
    return [order.message for order in orders if isinstance(order, Tell) and isinstance(order.message, BuilderTroubled)]


def test_a_slave_with_its_builders_certificate_is_greeted() -> None:
    assert Greet(1, FARM) in open_tls(Scene(bob(url=AWAY, certificates=(KNOWN,))))


def test_a_slave_with_anothers_certificate_is_not_spoken_to_and_the_fail_notes_say_whose_it_is() -> None:
    scene = Scene(bob(url=AWAY, certificates=(KNOWN,)))
    scene.begin()
    scene.grant()
    orders = scene.connect(replace(OURS, identity=builder_of("frog")), NOW)
    (trouble,) = told(orders)
    assert trouble.kind is NotOkKind.MISFIT
    assert trouble.failnotes.startswith(
        "the slave at 192.0.2.7 port 8221 shows the certificate of builder 'frog', not of 'bob'"
    )
    assert any(isinstance(order, Disconnect) for order in orders)
    assert not any(isinstance(order, (Greet, Send)) for order in orders)


def test_what_tls_itself_refuses_is_a_misfit_in_its_words() -> None:
    scene = Scene(bob(url=AWAY))
    scene.begin()
    scene.grant()
    (trouble,) = told(scene.fail("speaks plain TCP where TLS is needed", unfit=True))
    assert trouble.kind is NotOkKind.MISFIT
    assert trouble.failnotes == "the slave at 192.0.2.7 port 8221 speaks plain TCP where TLS is needed"


def test_a_revocation_ends_the_open_session_and_is_looked_into_at_once() -> None:
    scene = Scene(bob(url=AWAY, certificates=(KNOWN,)))
    open_tls(scene)
    orders = scene.change_row(url=AWAY, certificates=(replace(KNOWN, revoked="today"),))
    assert any(isinstance(order, Disconnect) for order in orders)
    assert any(isinstance(order, Tell) and isinstance(order.message, SessionWanted) for order in scene.pass_time(0.0))


def test_a_first_certificate_ends_a_plain_session() -> None:
    scene = Scene(bob())
    scene.begin()
    scene.open_session()
    orders = scene.change_row(certificates=(KNOWN,))
    assert any(isinstance(order, Disconnect) for order in orders)


def test_a_new_certificate_is_handed_over_once() -> None:
    both = (KNOWN, KnownCertificate("b2", None, "pem"))
    scene = Scene(bob(url=AWAY, certificates=(KNOWN,)))
    open_tls(scene)
    assert Send(NewCertificate(b"pem")) in scene.change_row(url=AWAY, certificates=both)
    assert Send(NewCertificate(b"pem")) not in scene.change_row(url=AWAY, certificates=both)


def test_a_certificate_that_expires_ends_its_session() -> None:
    scene = Scene(bob(url=AWAY, certificates=(KNOWN,)))
    open_tls(scene)
    scene.at += timedelta(days=1).total_seconds()
    scene.core.session.heard(scene.at)
    scene.core.session.spoke(scene.at)
    orders = scene.pass_time(0.0)
    assert any(isinstance(order, Disconnect) for order in orders)
