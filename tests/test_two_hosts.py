"""Master and slave on two hosts: a package is built over TLS, and whoever is not the builder's slave is refused in words."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from actors.settings import Settings
from certificates.making import new_authority, new_key, new_request
from cli.farm import dsn_of
from cli.packages import host_apt
from storage.access.authority import FarmAuthority
from storage.builders import Builders
from storage.database.connection import acting, connect, farm_id
from storage.records import Builder, RuntimeState
from tests.fix_certificates import builder_of
from tests.fix_farm import PROJECT
from tests.fix_sources import MakeSource
from tests.fix_two_hosts import Host
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="a chroot is entered as root")]

PATIENCE = 120.0  #: seconds, with a build in a real chroot
PLAIN_SLAVE = """
import asyncio, sys
from pathlib import Path
from slave.daemon import Daemon
from slave.core.machine import Traits
from slave.disk.state_directory import StateDirectory
import logging; logging.basicConfig(level=logging.INFO)
async def serve():
    daemon = Daemon(Traits("plain", (sys.argv[3],), "host"), StateDirectory(Path(sys.argv[1])), "a-token")
    await daemon.start(sys.argv[2], 8221)
    print("READY", flush=True)
    await asyncio.Event().wait()
asyncio.run(serve())
"""
PLAIN_MASTER = """
import socket, sys
from protocol.connection import Connection, Role
from protocol.messages import Hello
with socket.create_connection((sys.argv[1], 8221), 20) as plain:
    plain.sendall(Connection(Role.MASTER).send(Hello((1,), sys.argv[2], 1 << 40, "a-token")))
    while plain.recv(1000): pass
"""


class TwoHosts:
    """A farm on one host, and on the other a slave."""

    def __init__(self, slave_host: Host, master_host: Host, place: Path) -> None:
        self.slave_host, self.master_host = slave_host, master_host
        self.state, self.slave_state = place / "state", place / "slave"
        self.log = place / "slave.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUILDD_")},
            "PYTHONPATH": str(PROJECT),
            "BUILDD_MASTER_STATE_DIRECTORY": str(self.state),
            "BUILDD_MASTER_ENROLL_LISTEN": f"{master_host.address}:8220",
            "BUILDD_MASTER_TIMERS__FIRST_RETRY": "0.1",
            "BUILDD_MASTER_TIMERS__SECOND_RETRY": "0.2",
            "BUILDD_MASTER_TIMERS__BACKGROUND_RETRY": "0.2",
            "BUILDD_MASTER_TIMERS__BACKGROUND_RETRY_LIMIT": "0.5",
        }
        self.own = place / "own.pem"  #: what the slave got when it enrolled
        self.master: subprocess.Popen[str] | None = None
        self.slave: subprocess.Popen[str] | None = None

    # -- what people type ------------------------------------------------------------------------------------------
    def run(self, host: Host, *command: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command on a host."""
        return subprocess.run(
            host.here(sys.executable, "-m", *command),
            env=self.environment, input=said, check=False, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip

    def answer(self, *arguments: str) -> Any:
        """Run a command of the master's operator, and return its JSON document."""
        ran = self.run(self.master_host, "buildd_master", *arguments, "--json")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    def enroll(self, token: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run(
            self.slave_host,
            *("buildd_master.slave", "--state-directory", str(directory)),
            *("enroll", f"https://{self.master_host.address}:8220", "--token", "-", *options),
            said=f"{token}\n",
        )

    # -- processes -------------------------------------------------------------------------------------------------
    def start_master(self) -> None:
        self.master = self._start(self.master_host, "-m", "buildd_master", "up")

    def start_slave(self) -> None:
        self.slave = self._start(
            self.slave_host,
            *("-m", "buildd_master.slave", "--listen", f"{self.slave_host.address}:8221"),
            *("--state-directory", str(self.slave_state), "--backend", "chroot"),
        )

    def start_plain_slave(self) -> None:
        """Have somebody at the slave's address who speaks plain TCP."""
        where = (str(self.slave_state), self.slave_host.address, host_apt.architecture())
        self.slave = self._start(self.slave_host, "-c", PLAIN_SLAVE, *where)

    def _start(self, host: Host, *command: str) -> subprocess.Popen[str]:
        with self.log.open("a") as log:
            process = subprocess.Popen(
                host.here(sys.executable, *command),
                env=self.environment, cwd=PROJECT, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
        line = process.stdout.readline() if readable else ""
        assert line.startswith("READY"), line + self.log.read_text()
        return process

    def stop(self, process: subprocess.Popen[str] | None) -> None:
        if process is not None and process.stdout is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
            process.stdout.close()

    def show(self, own: Path) -> None:
        """Let the slave show this from now on; whoever is refused tries again with what there is then."""
        shutil.copy(own, self.slave_state / "tls" / "own.pem")
        if Builders(self.connection).runtimes()[0].connected:
            self.stop(self.slave)
            self.start_slave()

    # -- facts -----------------------------------------------------------------------------------------------------
    @cached_property
    def connection(self) -> Connection[Any]:
        return connect(dsn_of(Settings(state_directory=self.state)), application="test")

    def wait_ok(self) -> None:
        """Wait until bob is ok and idle."""
        self._wait(lambda: self._bob.builderok and Builders(self.connection).runtimes()[0].state is RuntimeState.IDLE)

    def wait_notes(self, words: str) -> None:
        """Wait until bob's fail notes say this of his slave."""
        said = f"the slave at {self.slave_host.address} port 8221 {words}"
        self._wait(lambda: not self._bob.builderok and said in self._bob.failnotes)

    def wait_log(self, words: str) -> None:
        """Wait until the slave's log has these words."""
        self._wait(lambda: words in self.log.read_text())

    @property
    def _bob(self) -> Builder:
        return Builders(self.connection).get("bob")

    def _wait(self, fact: Callable[[], bool]) -> None:
        wait_until(fact, lambda: f"{self._bob}\n{self.log.read_text()}", seconds=PATIENCE)


@pytest.fixture(scope="module")
def two(hosts: tuple[Host, Host], offline_chroot: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    """A farm whose builder bob has an enrolled slave on the other host, which runs."""
    one = TwoHosts(*hosts, tmp_path_factory.mktemp("two"))
    one.start_master()
    try:
        architecture = host_apt.architecture()
        one.answer("series", "add", "debian/bookworm", "--arch", architecture)
        one.answer("chroot", "add", f"debian/bookworm/{architecture}", str(offline_chroot))
        one.answer("builder", "add", "bob", f"buildd://{one.slave_host.address}:8221", "--trusted")
        enrolled = one.enroll(one.answer("ca", "issue", "bob")["token"], one.slave_state)
        assert enrolled.returncode == 0, enrolled.stderr
        shutil.copy(one.slave_state / "tls" / "own.pem", one.own)
        one.start_slave()
        yield one
        one.connection.close()
    finally:
        one.stop(one.slave)
        one.stop(one.master)


def test_a_package_is_built_on_another_host(two: TwoHosts, source_package: MakeSource, tmp_path: Path) -> None:
    two.wait_ok()
    package = source_package(name="tiny", version="1.0", relations="Build-Depends: curious-dep (>= 1)")
    out = tmp_path / "out"
    built = two.run(two.master_host, "buildd_master", "submit", str(package.dsc), "--wait", "--output", str(out))
    assert built.returncode == 0, built.stdout + built.stderr + two.log.read_text()
    assert (out / "tiny_1.0_all.deb").stat().st_size > 0


def test_a_second_use_of_a_token_is_refused(two: TwoHosts, tmp_path: Path) -> None:
    token = two.answer("ca", "issue", "bob")["token"]
    assert two.enroll(token, tmp_path / "first").returncode == 0
    second = two.enroll(token, tmp_path / "second")
    assert second.returncode == 1
    assert "the token for 'bob' was used on" in second.stderr


def test_a_slave_without_a_certificate_listens_to_nobody_from_outside(two: TwoHosts, tmp_path: Path) -> None:
    alone = two.run(
        two.slave_host,
        *("buildd_master.slave", "--listen", f"{two.slave_host.address}:8221"),
        *("--state-directory", str(tmp_path / "alone"), "--token-file", str(two.state / "slave-token")),
    )
    assert alone.returncode == 1
    assert "plain TCP is spoken on loopback addresses only" in alone.stderr


def test_a_master_that_speaks_plain_tcp_is_refused_and_disturbs_no_session(two: TwoHosts) -> None:
    two.wait_ok()
    farm = farm_id(two.connection)
    subprocess.run(
        two.master_host.here(sys.executable, "-c", PLAIN_MASTER, two.slave_host.address, farm),
        check=False, cwd=PROJECT, env=two.environment, timeout=PATIENCE, capture_output=True,
    )  # fmt: skip
    two.wait_log("the peer speaks plain TCP where TLS is needed")
    two.wait_ok()


def issue(two: TwoHosts, place: Path, builder: str, kind: str) -> Path:
    """Return a key with a certificate: `stolen`, `expired` or `self-signed`."""
    key, before = new_key(), datetime.now(UTC) - timedelta(days=10)
    with acting(two.connection, "test"):
        if builder not in {one.name for one in Builders(two.connection).all()}:
            Builders(two.connection).add(builder, f"buildd://{two.slave_host.address}:8222", ["amd64"])
        authority = FarmAuthority(two.connection, two.state, before)
        issued = authority.issue(builder, new_request(key), timedelta(days=9 if kind == "expired" else 99))
        identity = builder_of(builder, farm_id(two.connection))
        if kind == "self-signed":
            issued = new_authority(identity.farm, before).issue(identity, new_request(key), before)
    own = place / "own.pem"
    own.write_text(key + issued.pem)
    return own


@pytest.mark.parametrize(
    ("kind", "notes", "log"),
    [
        ("stolen", "shows the certificate of builder 'frog', not of 'bob'", ""),
        ("expired", "shows a certificate that expired on ", "the certificate of this slave expired on"),
        (
            "self-signed",
            "shows a certificate that the farm's authority did not sign",
            "does not accept the certificate",
        ),
    ],
)
def test_whoever_sits_at_the_slaves_address_is_refused_without_its_certificate(
    two: TwoHosts, tmp_path: Path, kind: str, notes: str, log: str
) -> None:
    two.show(issue(two, tmp_path, "frog" if kind == "stolen" else "bob", kind))
    two.wait_notes(notes)
    two.wait_log(log)


def test_a_slave_that_speaks_plain_tcp_is_refused_until_the_right_one_is_there(two: TwoHosts) -> None:
    two.stop(two.slave)
    two.start_plain_slave()
    two.wait_notes("closed the connection where TLS should begin")
    two.wait_log("the peer speaks TLS, and this slave is not enrolled")
    two.stop(two.slave)
    shutil.copy(two.own, two.slave_state / "tls" / "own.pem")
    two.start_slave()
    two.wait_ok()


def test_a_slave_that_is_revoked_is_cut_off_until_it_enrols_again(two: TwoHosts) -> None:
    two.wait_ok()
    two.answer("ca", "revoke", "bob")
    two.wait_notes("shows a certificate that was revoked on ")
    two.stop(two.slave)
    again = two.enroll(two.answer("ca", "issue", "bob")["token"], two.slave_state, "--again")
    assert again.returncode == 0, again.stderr
    two.start_slave()
    two.wait_ok()
