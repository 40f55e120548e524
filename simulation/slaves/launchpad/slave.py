"""A simulated launchpad-buildd: what it does when it is called, builds that are only a script, and its hazards.

    slave = LaunchpadSlave("bob", Script(…)); slave.start(); …; slave.stop()

It does what the dialect's page has seen of the real one, hazards by their numbers there included: a `build()` that
faults wedges it (1) or, while it is busy, changes the id and truncates the log (2); abort takes its time (3); restarted,
it is IDLE (4); a file that is missing is a failure of the package, later (5); the log is a file of its own that goes
with `clean()` (6) and shows the password of a private archive while it is written (7); the id is all that it echoes (8).
It listens by `simulation.slaves.launchpad.server`.  Everything is in memory; `heard` keeps the calls.  Threads, since the
downloads that it makes would block a loop.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
import urllib.request
import xmlrpc.client
from collections import deque
from dataclasses import dataclass
from typing import Any, Final
from urllib.error import URLError

from protocol.launchpad_buildd.answers import Begun, SlaveStatus
from protocol.messages import WireOutcome
from simulation.slaves.launchpad.hazards import Hazards
from simulation.slaves.launchpad.server import Refusal, Server
from simulation.slaves.results import built_package, identity
from simulation.slaves.script import Conduct, Script

RECORD_LENGTH: Final = 20_000  #: calls that `heard` keeps
LOGTAIL: Final = 2048  #: bytes
_LISTED = re.compile(r"^ [0-9a-f]{32,64} [0-9]+ (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Called:
    """One call that was heard."""

    at: float  #: monotonic seconds
    method: str
    arguments: tuple[Any, ...]


class _Build:
    """The build that runs or waits."""

    def __init__(self, build_id: str, files: dict[str, str], args: dict[str, Any], conduct: Conduct) -> None:
        self.build_id = build_id
        self.files, self.args, self.conduct = files, args, conduct
        self.stop = threading.Event()
        self.log = bytearray()
        self.results: dict[str, bytes] = {}
        self.outcome: WireOutcome | None = None
        self.aborting = False
        self.wedged = False


class LaunchpadSlave:
    """One slave; its methods may be called from any thread."""

    def __init__(
        self, name: str, script: Script | None = None, *, architecture: str = "i386", hazards: Hazards | None = None
    ) -> None:
        """Prepare; `start` has it listen."""
        self.name = name
        self.script = script or Script()
        self.hazards = hazards or Hazards()
        self.architecture = architecture
        self.managers = ["binarypackage", "sourcepackagerecipe", "translation-templates"]
        self.port = 0
        self.heard: deque[Called] = deque(maxlen=RECORD_LENGTH)
        self.cache: dict[str, bytes] = {}  #: SHA-1 → content; survives `clean` and restarts
        self.passwords: list[str] = []  #: that it was given
        self._lock = threading.RLock()
        self._build: _Build | None = None
        self._server: Server | None = None
        self._finish = threading.Event()
        self._threads: list[threading.Thread] = []

    # -- what a test does to it ----------------------------------------------------------------------
    @property
    def url(self) -> str:
        """The URL to register."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen on loopback; on the port it had before, if there was one."""
        self._server = Server(self.port, self)
        self.port = self._server.server_address[1]
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self._threads.append(thread)

    def go_away(self) -> None:
        """Listen no more; a build goes on, as it does behind a cut cable."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def restart(self) -> None:
        """Die and come back: IDLE, whatever it was at; its cache stays (4)."""
        self.go_away()
        with self._lock:
            if self._build is not None:
                self._build.stop.set()
            self._build = None
        self.start()

    def stop(self) -> None:
        """Be gone."""
        self.hazards.pause.clear()
        self.hazards.hold.clear()
        self.go_away()
        with self._lock:
            if self._build is not None:
                self._build.stop.set()
        self._finish.set()
        for thread in self._threads:
            thread.join(5)

    def finish(self) -> None:
        """Let a build that hangs come to its end."""
        self._finish.set()

    def calls(self, *methods: str) -> list[str]:
        """Return the names of the calls that were heard, of these only if any are named."""
        return [one.method for one in tuple(self.heard) if not methods or one.method in methods]

    # -- calls -----------------------------------------------------------------------------------------
    def call(self, method: str, arguments: tuple[Any, ...]) -> object:
        """Obey one call; raise `Refusal`."""
        self.heard.append(Called(time.monotonic(), method, arguments))
        match method, arguments:
            case "echo", _:
                return list(arguments)
            case "info", ():
                return ["1.0", self.architecture, self.managers]
            case "status", ():
                return self._status()
            case "ensurepresent", (str(sha1), url, user, password):
                return self._ensure_present(sha1, url, user, password)
            case "build", (str(build_id), str(manager), str(chroot), dict(files), dict(args)):
                return self._begin(build_id, manager, chroot, files, args)
            case "abort", ():
                return self._abort()
            case "clean", ():
                return self._clean()
        raise Refusal

    def _status(self) -> dict[str, object]:
        with self._lock:
            build = self._build
            if build is None:
                return {"builder_status": SlaveStatus.IDLE.value}
            if build.outcome is not None:
                said: dict[str, object] = {
                    "builder_status": SlaveStatus.WAITING.value,
                    "build_status": f"BuildStatus.{build.outcome.value}",
                    "build_id": build.build_id,
                }
                if build.outcome in {WireOutcome.OK, WireOutcome.PACKAGEFAIL, WireOutcome.DEPFAIL}:
                    said["filemap"] = {name: _sha1(content) for name, content in build.results.items()}
                    missing = build.conduct.dependencies if build.outcome is WireOutcome.DEPFAIL else ()
                    said["dependencies"] = ", ".join(missing)
                return said
            if build.aborting:
                return {"builder_status": SlaveStatus.ABORTING.value, "build_id": build.build_id}
            return {
                "builder_status": SlaveStatus.BUILDING.value,
                "build_id": build.build_id,
                "logtail": xmlrpc.client.Binary(bytes(build.log[-LOGTAIL:])),
            }

    def _ensure_present(self, sha1: str, url: object, user: object, password: object) -> list[object]:
        if isinstance(password, str) and password:
            self.passwords.append(password)
        if sha1 in self.cache:
            return [True, "Cache"]
        if not url or not isinstance(url, str):
            return [False, "No URL"]
        request = urllib.request.Request(url)  # noqa: S310 - a test's own
        if user and password:
            word = base64.b64encode(f"{user}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {word}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                content = answer.read()
        except (URLError, OSError) as error:
            return [False, f"Error accessing Librarian: {error}"]
        if _sha1(content) != sha1:
            return [False, "Digests did not match, removing again!"]
        self.cache[sha1] = content
        return [True, "Download"]

    def _begin(self, build_id: str, manager: str, chroot: str, files: dict[str, str], args: dict[str, Any]) -> object:
        with self._lock:
            if self._build is not None:  # hazard 2
                self._build.build_id = build_id
                self._build.log.clear()
                raise Refusal
            if manager not in self.managers:
                return [Begun.UNKNOWNBUILDER.value, f"no build manager {manager}"]
            for sha1 in (chroot, *files.values()):
                if sha1 not in self.cache:
                    return [Begun.UNKNOWNSUM.value, sha1]
            dsc = next((name for name in files if name.endswith(".dsc")), None)
            complete = {"series", "suite", "ogrecomponent"} <= args.keys()
            conduct = self.script.conduct(dsc or "")
            self._build = build = _Build(build_id, files, args, conduct)
            if dsc is None or not complete or build_id in self.hazards.leftovers:  # hazard 1
                build.wedged = True
                raise Refusal
            self._finish.clear()
            thread = threading.Thread(target=self._run, args=(build, dsc), daemon=True)
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()
            return [Begun.BUILDING.value, build_id]

    def _abort(self) -> str:
        with self._lock:
            build = self._build
            if build is None or build.outcome is not None:
                raise Refusal
            build.aborting = True
            if not build.wedged and not build.conduct.deaf:
                build.stop.set()
            return SlaveStatus.ABORTING.value

    def _clean(self) -> str:
        with self._lock:
            if self._build is None or self._build.outcome is None:
                raise Refusal
            self._build = None
            return SlaveStatus.IDLE.value

    # -- builds ----------------------------------------------------------------------------------------
    def _run(self, build: _Build, dsc: str) -> None:
        conduct = build.conduct
        secret = f"fetching from http://builder:{self.passwords[-1] if self.passwords else ''}@archive/\n".encode()
        if build.args.get("archive_private"):
            build.log += secret  # hazard 7
        listed = set(_LISTED.findall(self.cache[build.files[dsc]].decode(errors="replace")))
        outcome = conduct.outcome if conduct.outcome is not WireOutcome.TIMEOUT else WireOutcome.PACKAGEFAIL
        if listed - build.files.keys():  # hazard 5
            build.stop.wait(self.hazards.missing_file_seconds)
            outcome = WireOutcome.PACKAGEFAIL
        step = -(-len(conduct.log) // max(1, len(conduct.phases)))
        for number in range(len(conduct.phases)):
            build.log += conduct.log[number * step : (number + 1) * step]
            if conduct.seconds and build.stop.wait(conduct.seconds / len(conduct.phases)):
                break
        while conduct.hangs and not build.stop.is_set() and not self._finish.wait(0.01):
            pass
        if build.stop.is_set():  # hazard 3
            time.sleep(self.hazards.abort_seconds)
            outcome = WireOutcome.ABORTED
        elif outcome is WireOutcome.OK:
            source, version = identity(dsc, self.cache.get(build.files[dsc]))
            tag = str(build.args.get("arch_tag", self.architecture))
            build.results = conduct.results or built_package(source, version, tag)
        while build.aborting and conduct.deaf:
            if self._finish.wait(0.01):
                return
        with self._lock:
            if secret in build.log:
                build.log[:] = build.log.replace(secret, b"")
            build.outcome = outcome

    # -- files -----------------------------------------------------------------------------------------
    def content(self, path: str) -> bytes | None:
        """Return the file at `path`; None: there is none."""
        name = path.removeprefix("/filecache/")
        with self._lock:
            build = self._build
            if name == "buildlog":
                return None if build is None else bytes(build.log)
            results = {} if build is None else {_sha1(content): content for content in build.results.values()}
            return results.get(name, self.cache.get(name))


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
