"""What is handed out to slaves that download: an open attempt's own files, to whoever shows its password; nothing else."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from actors.master.web_server import FILES, WebServer
from actors.settings import Settings
from actors.system.ports import free_port
from storage.archives import Archives
from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.builds import Builds
from storage.chroots import Chroots
from storage.database.connection import connect
from storage.files.credentials import FILES_HEADER, FilesPlace, make_key, read_key
from storage.files.librarian import Librarian
from storage.files.library import Library
from storage.publications import Publications
from storage.records import ArchivePurpose, BuildOrder, Limits, NamedFile, NewSource, Pick, Pocket, Urgency
from storage.series import Series
from storage.sources import Sources
from tests.fix_postgres import new_database
from tests.waiting import wait_until

CHROOT = b"a base system" * 100_000
DSC = b"Source: foo\nVersion: 1.0-1\n"


class FilesUnderTest:
    """The process, a database with one open attempt, and a client."""

    def __init__(self, directory: Path, dsn: str) -> None:
        self.settings = Settings(state_directory=directory, files_listen=f"127.0.0.1:{free_port()}")
        make_key(directory)
        self.conn = connect(dsn, application="test")
        self.librarian = Librarian(self.settings.librarian_directory)
        self.queue = BuildQueue(self.conn)
        self.order = self._lay_out()
        self.place = FilesPlace(self.settings.slaves_fetch_at, read_key(directory))
        self.server = WebServer(self.settings, dsn, FILES, self.settings.files_listen)
        self.server.start()

    def _lay_out(self) -> BuildOrder:
        library, builds = Library(self.conn), Builds(self.conn)
        Series(self.conn).add("ubuntu", "hoary", {"i386": "x86"}, nominated_archindep="i386")
        Archives(self.conn).add("primary", "ubuntu", ArchivePurpose.PRIMARY)
        chroot, dsc = self.librarian.add_bytes(CHROOT), self.librarian.add_bytes(DSC)
        series = Series(self.conn).named("ubuntu/hoary/i386")
        Chroots(self.conn).set(series.id, Pocket.RELEASE, library.add(chroot, "chroot.tar.zst").id)
        library.add(dsc, "foo_1.0-1.dsc")
        files = (NamedFile("foo_1.0-1.dsc", dsc.sha256, dsc.size),)
        source = Sources(self.conn).add(NewSource("foo", "1.0-1", "main", Urgency.LOW, ("any",), files))
        primary = Archives(self.conn).get("ubuntu", "primary")
        Publications(self.conn).publish(source, primary.id, "hoary", Pocket.RELEASE, "main")
        build = builds.create(source, series.id, primary.id, Pocket.RELEASE, arch_indep=True)
        job = builds.queue(build.id)
        Builders(self.conn).add("bob", "http://127.0.0.1:8221", ("x86",), trusted=True)
        (attempt,) = self.queue.claim([Pick(job.id, "bob", 1)], Limits(wall_seconds=3600))
        self.secret = library.add(self.librarian.add_bytes(b"of another build"), "other.dsc")
        return self.queue.orders((attempt.id,))[0]

    def get(
        self, path: str, user: str | None = None, word: str = "", *, method: str = "GET"
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Return status, body and headers."""
        host, _, port = self.settings.files_listen.rpartition(":")
        client = http.client.HTTPConnection(host, int(port), timeout=20)
        shown = (
            {} if user is None else {"Authorization": "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()}
        )
        try:
            client.request(method, path, headers=shown)
            answer = client.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            client.close()

    def fetch(self, sha256: str, *, attempt: UUID | None = None, word: str | None = None) -> tuple[int, bytes]:
        attempt = attempt or self.order.attempt
        word = self.place.password(attempt) if word is None else word
        path = self.place.url_of(attempt, sha256).removeprefix(self.place.url)
        return self.get(path, str(attempt), word)[:2]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, postgres_dsn: str, _template: str) -> Iterator[FilesUnderTest]:
    """A process for all tests of the module."""
    for dsn in new_database(postgres_dsn, _template):
        under = FilesUnderTest(tmp_path_factory.mktemp("state"), dsn)
        yield under
        under.server.stop()
        under.conn.close()


@pytest.fixture
def files(shared: FilesUnderTest) -> FilesUnderTest:
    """The process; the last test closes its attempt."""
    return shared


def test_an_open_attempt_gets_its_chroot_and_its_sources(files: FilesUnderTest) -> None:
    order = files.order
    assert files.fetch(order.chroot.sha256) == (200, CHROOT)
    assert files.fetch(order.files[0].sha256) == (200, DSC)
    status, body, headers = files.get(
        f"/{order.attempt}/{order.chroot.sha256}",
        str(order.attempt),
        files.place.password(order.attempt),
        method="HEAD",
    )
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(CHROOT)))


def test_nothing_is_handed_out_without_the_attempts_own_password(files: FilesUnderTest) -> None:
    order, other = files.order, uuid4()
    sha256 = order.chroot.sha256
    assert files.get(f"/{order.attempt}/{sha256}")[0] == 401
    assert files.fetch(sha256, word="")[0] == 401
    assert files.fetch(sha256, word="0" * 64)[0] == 401
    assert files.fetch(sha256, word=files.place.password(other))[0] == 401
    assert files.get(f"/{order.attempt}/{sha256}", "not-an-attempt", files.place.password(order.attempt))[0] == 401
    assert (
        files.get(f"/{order.attempt}/{sha256}", str(order.attempt).upper(), files.place.password(order.attempt))[0]
        == 401
    )
    # Another attempt's password opens nothing of this one.
    assert files.get(f"/{order.attempt}/{sha256}", str(other), files.place.password(other))[0] == 404


def test_an_attempts_password_opens_nothing_else(files: FilesUnderTest) -> None:
    assert files.fetch(files.secret.sha256)[0] == 404
    assert files.fetch("f" * 64)[0] == 404
    user, word = str(files.order.attempt), files.place.password(files.order.attempt)
    for path in ("/", "/ca", f"/{user}", f"/{user}/../files.key", f"/{user}/%2e%2e/files.key", f"/{user}/{'A' * 64}"):
        assert files.get(path, user, word)[0] == 404
    assert files.get("/", user, word, method="POST")[0] == 405


def test_a_password_ends_with_its_attempt(files: FilesUnderTest) -> None:
    sha256 = files.order.chroot.sha256
    deadline = files.queue.attempt(files.order.attempt).deadline
    files.conn.execute("UPDATE attempt SET deadline = now() - interval '1 second'")
    assert files.fetch(sha256)[0] == 404
    files.conn.execute("UPDATE attempt SET deadline = %s", (deadline,))
    assert files.fetch(sha256)[0] == 200
    attempt = uuid4()
    assert files.fetch(sha256, attempt=attempt)[0] == 404


def test_every_answer_says_who_gives_it(files: FilesUnderTest) -> None:
    status, _, headers = files.get("/")
    assert (status, headers[FILES_HEADER]) == (401, "files")
    assert headers["WWW-Authenticate"].startswith("Basic")


def test_the_process_is_started_again_on_the_same_socket(files: FilesUnderTest) -> None:
    pid = files.server.pid
    files.server._process.stop()
    files.server.start()
    assert files.server.pid != pid
    assert files.fetch(files.order.files[0].sha256) == (200, DSC)
    wait_until(lambda: files.server.ended() is None)


def test_a_closed_attempt_gets_nothing(files: FilesUnderTest) -> None:
    files.queue.fence(files.order.attempt, "an operator said so")
    assert files.fetch(files.order.chroot.sha256)[0] == 404
