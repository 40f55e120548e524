"""A slave enrols with a one-time token, over a real socket, at the real process; whatever else comes is answered and harmless."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from actors.master.web_server import ENROLMENT, WebServer
from actors.settings import Settings, place_of
from certificates.files import CertificateFiles
from certificates.making import fingerprint, new_authority, new_key, new_request, read_shown
from certificates.token import new_token, read_token, secret_hash
from slave.disk.state_directory import StateDirectory
from slave.errors import CannotStart
from slave.joining.credentials import Credentials
from slave.joining.enrolment import enroll, take
from storage.access.authority import FarmAuthority
from storage.access.certificates import Certificates
from storage.builders import Builders
from storage.database.connection import acting, connect, farm_id
from tests.fix_certificates import builder_of
from tests.fix_farm import PROJECT
from tests.fix_postgres import new_database
from tests.waiting import wait_until

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may


class Office:
    """A farm with an enrolment server."""

    def __init__(self, connection: psycopg.Connection[Any], dsn: str, state: Path) -> None:
        self.connection, self.state = connection, state
        with acting(connection, "person"):
            Builders(connection).add("bob", "buildd://192.0.2.7:8221", ["amd64"])
            self.authority = FarmAuthority(connection, state, datetime.now(UTC)).open()
        settings = Settings(state_directory=state, database=dsn, enroll_listen="127.0.0.1:0", user="")
        self.server = WebServer(settings, dsn, ENROLMENT, settings.enroll_listen)
        self.server.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"

    def token(self, builder: str = "bob", life: timedelta = timedelta(hours=1)) -> str:
        token = new_token(fingerprint(self.authority.pem))
        with acting(self.connection, "person"):
            Certificates(self.connection).add_token(builder, secret_hash(token.secret), life)
        return str(token)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with closing(http.client.HTTPSConnection("127.0.0.1", self.server.port, context=context, timeout=20)) as asking:
            asking.request(method, path, body)
            answer = asking.getresponse()
            return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def office(postgres_dsn: str, _template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    for dsn in new_database(postgres_dsn, _template):
        with connect(dsn, application="test") as connection:
            office = Office(connection, dsn, tmp_path_factory.mktemp("office"))
            yield office
            office.server.stop()


@pytest.fixture
def slave(tmp_path: Path) -> Iterator[StateDirectory]:
    state = StateDirectory(tmp_path / "slave")
    yield state
    state.close()


def test_a_slave_gets_a_certificate_for_its_own_key_and_builder(office: Office, slave: StateDirectory) -> None:
    farm = farm_id(office.connection)
    assert enroll(slave, office.url, office.token(), again=False) == builder_of("bob", farm)
    credentials = Credentials(slave.path)
    credentials.check()
    assert credentials.own.identity == builder_of("bob", farm)
    assert credentials.own.serial in {one.serial for one in Builders(office.connection).get("bob").certificates}
    assert slave.load().farm == farm
    own = (slave.path / "tls" / "own.pem").read_text()
    assert not list(office.state.rglob("*.key"))
    assert all(own.partition("-----END PRIVATE")[0] not in path.read_text() for path in office.state.rglob("*.pem"))


def test_a_token_is_good_once(office: Office, slave: StateDirectory, tmp_path: Path) -> None:
    token = office.token()
    enroll(slave, office.url, token, again=False)
    other = StateDirectory(tmp_path / "other")
    with pytest.raises(CannotStart, match="does not enrol this slave: the token for 'bob' was used on"):
        enroll(other, office.url, token, again=False)
    assert not Credentials(other.path).enrolled
    other.close()


def test_an_expired_token_is_refused(office: Office, slave: StateDirectory) -> None:
    with pytest.raises(CannotStart, match="the token for 'bob' expired on"):
        enroll(slave, office.url, office.token(life=timedelta(0)), again=False)


def test_a_token_that_was_made_up_is_refused(office: Office, slave: StateDirectory) -> None:
    with pytest.raises(CannotStart, match="issued no such token"):
        enroll(slave, office.url, str(new_token(fingerprint(office.authority.pem))), again=False)


def test_a_slave_tells_its_token_to_nobody_but_the_master_that_issued_it(office: Office, slave: StateDirectory) -> None:
    other = new_authority(farm_id(office.connection), datetime.now(UTC))
    token = new_token(fingerprint(other.pem))
    with acting(office.connection, "person"):
        Certificates(office.connection).add_token("bob", secret_hash(token.secret), timedelta(hours=1))
    with pytest.raises(CannotStart, match="is not the one that issued this token"):
        enroll(slave, office.url, str(token), again=False)
    with acting(office.connection, "test"):
        assert Certificates(office.connection).use_token(secret_hash(token.secret)) == "bob", "nobody has used it"


@pytest.mark.parametrize(
    ("enrolled", "words"), [(False, r"can't be believed: .*"), (True, "shows a certificate that is no master's")]
)
def test_who_sits_between_with_the_authoritys_certificate_gets_no_token_not_even_an_enrolled_slave(
    office: Office, slave: StateDirectory, tmp_path: Path, enrolled: bool, words: str
) -> None:
    false = new_authority(farm_id(office.connection), datetime.now(UTC))
    key = new_key()
    made = (office.authority if enrolled else false).issue(
        builder_of("bob", farm_id(office.connection)), new_request(key), datetime.now(UTC)
    )
    own = tmp_path / "own.pem"
    own.write_text(key + made.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    script = (
        "import socket, ssl, sys\n"
        "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[1])\n"
        "pem = open(sys.argv[2]).read()\n"
        "listening = socket.create_server(('127.0.0.1', 0)); print(listening.getsockname()[1], flush=True)\n"
        "while True:\n"
        "    there, _ = listening.accept()\n"
        "    try:\n"
        "        speaking = context.wrap_socket(there, server_side=True); said = speaking.recv(65536)\n"
        "        print(said, flush=True)\n"
        "        speaking.sendall(f'HTTP/1.1 200 OK\\r\\nContent-Length: {len(pem)}\\r\\n\\r\\n{pem}'.encode())\n"
        "        speaking.close()\n"
        "    except OSError as error: print(error, flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(own), str(office.state / "tls" / "ca.crt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as between:
        assert between.stdout is not None
        port = int(between.stdout.readline())
        try:
            with pytest.raises(CannotStart, match=f"{words}; the token was not shown"):
                enroll(slave, f"https://127.0.0.1:{port}", office.token(), again=False)
            assert "GET /ca" in between.stdout.readline()
            assert "POST" not in between.stdout.readline()
        finally:
            between.kill()


def test_a_slave_that_has_a_farm_leaves_it_only_when_told(office: Office, slave: StateDirectory) -> None:
    enroll(slave, office.url, office.token(), again=False)
    before = Credentials(slave.path).own
    with pytest.raises(CannotStart, match=r"belongs to the farm .* already: --again leaves it"):
        enroll(slave, office.url, office.token(), again=False)
    assert Credentials(slave.path).own == before
    enroll(slave, office.url, office.token(), again=True)
    assert Credentials(slave.path).own != before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 404),
        ("GET", "/enroll", None, 404),
        ("POST", "/ca", b"", 404),
        ("POST", "/enroll", b"", 400),
        ("POST", "/enroll", b"\xff\x00", 400),
        ("POST", "/enroll", b"[" * 8000, 400),
        ("POST", "/enroll", b'{"secret": 5, "request": ""}', 400),
        ("POST", "/enroll", b'{"secret": "zz", "request": ""}', 400),
        ("POST", "/enroll", b'{"secret": "00", "request": "\\u0000"}', 403),
        ("POST", "/../../etc/passwd", b"", 404),
    ],
)
def test_whatever_is_asked_is_answered(office: Office, method: str, path: str, body: bytes, status: int) -> None:
    assert office.ask(method, path, body)[0] == status
    assert office.server.ended() is None


def test_a_body_that_is_too_long_is_not_read_to_its_end(office: Office) -> None:
    body = b'{"secret": "00", "request": "%s"}' % (b"x" * 100_000)
    try:
        status, _ = office.ask("POST", "/enroll", body)
    except (ssl.SSLError, ConnectionError):
        status = 400  # it was closed before all of it was said
    assert status == 400
    assert office.server.ended() is None


def test_a_bad_request_leaves_the_token_as_it_was(office: Office, slave: StateDirectory) -> None:
    text = office.token()
    body = {"secret": read_token(text).secret.hex(), "request": "no request"}
    status, said = office.ask("POST", "/enroll", json.dumps(body).encode())
    assert status == 400
    assert "no CSR" in said
    enroll(slave, office.url, text, again=False)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.0\r\n\r\n", os.urandom(2000), b"\x16\x03\x01\xff\xff" * 100])
def test_garbage_on_the_socket_harms_nobody(office: Office, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", office.server.port), 20) as stranger:
        stranger.sendall(garbage)
        stranger.shutdown(socket.SHUT_WR)
        stranger.settimeout(20)
        try:
            while stranger.recv(1000):
                pass
        except ConnectionError:
            pass
    assert office.ask("GET", "/ca") == (200, office.authority.pem)


def test_the_renewed_certificate_of_the_master_is_shown_by_the_next_connection(office: Office) -> None:
    def shown() -> str:
        context = ssl.create_default_context(cadata=office.authority.pem)
        context.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", office.server.port), 20) as plain,
            context.wrap_socket(plain) as speaking,
        ):
            assert speaking.version() == "TLSv1.3"
            return ssl.DER_cert_to_PEM_cert(speaking.getpeercert(binary_form=True) or b"")

    before = shown()
    with acting(office.connection, "person"):
        renewed = FarmAuthority(office.connection, office.state, datetime.now(UTC)).renew_master()
    assert shown() == renewed.pem != before


def test_an_older_tls_is_not_spoken(office: Office) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", office.server.port), 20) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def test_a_token_never_stands_in_a_command_line_that_others_see(office: Office, tmp_path: Path) -> None:
    where = tmp_path / "slave"
    command = [sys.executable, "-m", "buildd_master.slave", "--state-directory", str(where), "enroll", office.url]
    done = subprocess.run(
        [*command, "--token", "-"],
        check=False,
        cwd=PROJECT,
        input=f"{office.token()}\n",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"enrolled: this slave speaks for builder 'bob' of the farm [0-9a-f-]{36}\n", done.stdout)
    again = subprocess.run([*command, "--token", "nonsense"], check=False, cwd=PROJECT, capture_output=True, text=True)
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert "--again leaves it" in again.stderr


def test_a_slave_that_can_not_reach_the_master_takes_files(
    office: Office, slave: StateDirectory, tmp_path: Path
) -> None:
    key = new_key()
    with acting(office.connection, "person"):
        made = FarmAuthority(office.connection, office.state, datetime.now(UTC)).issue("bob", new_request(key))
    handed = tmp_path / "handed"
    handed.mkdir()
    (handed / "own.pem").write_text(key + made.pem)
    shutil.copy(office.state / "tls" / "ca.crt", handed)
    assert take(slave, handed, again=False).name == "bob"
    assert CertificateFiles(slave.path / "tls", server=True).context().get_ca_certs()
    (handed / "own.pem").write_text(new_key() + made.pem)
    with pytest.raises(CannotStart, match="belong together"):
        take(slave, handed, again=True)
    assert read_shown((slave.path / "tls" / "own.pem").read_text()) == made.shown


def test_a_process_that_was_killed_is_followed_by_another_on_the_same_socket(office: Office) -> None:
    assert office.server.pid is not None
    os.kill(office.server.pid, signal.SIGKILL)
    wait_until(lambda: office.server.ended() is not None)
    assert office.server.ended() == -signal.SIGKILL
    office.server.start()
    assert office.ask("GET", "/ca") == (200, office.authority.pem)


def test_a_port_that_is_taken_is_told_at_the_start(office: Office, tmp_path: Path) -> None:
    taken = Settings(state_directory=tmp_path, enroll_listen=f"127.0.0.1:{office.server.port}")
    with pytest.raises(OSError, match="Address already in use"):
        WebServer(taken, "", ENROLMENT, taken.enroll_listen)


@pytest.mark.parametrize(
    "text", ["8220", "example.org:8220", "0.0.0.0", "0.0.0.0:", "0.0.0.0:65536", "[::]:x", ":8220"]
)
def test_what_is_no_address_to_listen_on_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be an IP address and a port"):
        place_of(text)


@pytest.mark.parametrize(("text", "place"), [("0.0.0.0:8220", ("0.0.0.0", 8220)), ("[::1]:0", ("::1", 0))])
def test_addresses_to_listen_on(text: str, place: tuple[str, int]) -> None:
    assert place_of(text) == place
