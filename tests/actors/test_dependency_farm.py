"""The whole farm, multi-process: a build that lacks a package is built by itself once the package is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from protocol.messages import WireOutcome
from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.results import tiny_deb
from simulation.slaves.script import Conduct
from storage.binary_packages import BinaryPackages
from storage.records import BinaryPackage, BuildState
from tests.fix_builder import changes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.slaves.buildd.slave import SimulatedSlave
    from tests.fix_farm import FarmUnderTest

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may


@pytest.fixture(scope="module")
def slave_host() -> Iterator[SlaveHost]:
    """A thread to put simulated slaves into."""
    with SlaveHost() as host:
        yield host


@pytest.fixture(scope="module")
def bob(slave_host: SlaveHost) -> SimulatedSlave:
    """A slave."""
    return slave_host.add("bob")


@pytest.fixture(scope="module")
def farm(shared_farm: FarmUnderTest, bob: SimulatedSlave) -> FarmUnderTest:
    """A farm that runs, with bob as its only builder."""
    shared_farm.lay_out()
    shared_farm.builders.add("bob", bob.url, ["x86"], trusted=True)
    shared_farm.start()
    return shared_farm


def lacking(farm: FarmUnderTest, bob: SimulatedSlave, *dependencies: str) -> int:
    """Let a build end for want of these; what is built next goes well."""
    bob.script.conducts = (Conduct(outcome=WireOutcome.DEPFAIL, text="missing", dependencies=dependencies), Conduct())
    build = farm.queue_build("foo").build
    farm.wait_build(build, BuildState.MANUALDEPWAIT)
    return build


def whys(farm: FarmUnderTest, build: int) -> list[str]:
    rows = farm.conn.execute("SELECT why FROM event WHERE subject = %s ORDER BY id", (f"build:{build}",))
    return [why for (why,) in rows]


def test_a_package_that_the_farm_builds_lets_who_waits_for_it_be_built(
    farm: FarmUnderTest, bob: SimulatedSlave
) -> None:
    build = lacking(farm, bob, "libfoo (>= 1.0)")
    libfoo = farm.queue_build("libfoo").build
    version = farm.wait_build(libfoo, BuildState.FULLYBUILT).version
    farm.wait_build(build, BuildState.FULLYBUILT)
    assert len(farm.builds.attempts(build)) == 2
    assert f"libfoo {version} is there now" in whys(farm, build)


def test_packages_from_outside_let_who_waits_for_them_be_built(farm: FarmUnderTest, bob: SimulatedSlave) -> None:
    build = lacking(farm, bob, "editor", "libqux | libbaz (>= 2)")
    archive = farm.archives.get("ubuntu", "primary")
    packages = BinaryPackages(farm.conn)
    with farm.conn.transaction():
        packages.import_index(archive, "hoary", "i386", [BinaryPackage("nano", "1", "i386", ("editor",))])
    farm.wait_until(lambda: farm.builds.get(build).dependencies == ("libqux | libbaz (>= 2)",), "less remains")
    farm.conn.execute(
        "INSERT INTO binary_package (archive, distroseries, name, version, architecture)"
        " VALUES (%s, (SELECT id FROM distroseries), 'libbaz', '2.0', 'all')",
        (archive.id,),
    )
    farm.wait_build(build, BuildState.FULLYBUILT)
    assert {"nano 1 is there now", "libbaz 2.0 is there now"} <= set(whys(farm, build))


def test_a_package_that_is_none_fails_to_upload_and_helps_nobody(farm: FarmUnderTest, bob: SimulatedSlave) -> None:
    waiting = lacking(farm, bob, "evil")
    source = farm.add_source("evil")
    (version,) = farm.conn.execute("SELECT version FROM source_release WHERE id = %s", (source,)).fetchone() or ("",)
    deb = {"evil_i386.deb": tiny_deb("evil", version, "i386").replace(b"Architecture: i386", b"Architecture: mips")}
    changes = {"evil_i386.changes": changes_of(deb, source="evil", version=version)}
    bob.script.conducts = (Conduct(results=deb | changes), Conduct())
    evil = farm.queue_build(source=source).build
    assert "evil_i386.deb is of architecture 'mips'" in farm.wait_build(evil, BuildState.FAILEDTOUPLOAD).why
    assert farm.builds.get(waiting).state is BuildState.MANUALDEPWAIT
