"""The session that `docs/console.md` shows: played on a real farm, with one real console on a terminal.

    WRITE_TOUR=1 .state/venv/bin/python -m pytest -n 0 tests/console/test_tour.py     writes it into docs/console.md

`test_tour`, which CI runs, plays it and compares, so that the document can't go stale: numbers, times and names of processes
may differ, words may not.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.buildd.slave import SimulatedSlave
from simulation.slaves.script import Conduct, Script
from storage.records import BuildState
from tests.fix_console import Terminal, command
from tests.fix_farm import PROJECT, FarmUnderTest

DOCUMENT = PROJECT / "docs" / "console.md"
_WIDE = 150  #: characters of a line, more are cut off
_BLOCK = re.compile(r"(<!-- tour: ([\w -]+) -->\n```text\n)(.*?)(```\n)", re.DOTALL)
_ROW = re.compile(r" *(supervisor|queue|nursery-1|bob|eve) +\w+ +\d+ +\d+ ")
_CHANCE = (
    (r"bob handled .*", "bob handled"),
    (r", last \w+", ""),
    (r"held were .*", "held were"),
)  # a timer may come in between
_HEARTBEATS = re.compile(r"TimeCame$|SlaveSaid\(Heartbeat\)|→ (Send\(Heartbeat\)|Tell\(RuntimeChanged\))$")


class Tour:
    """Plays scene by scene."""

    def __init__(self, farm: FarmUnderTest, host: SlaveHost, directory: Path) -> None:
        """Lay a farm out, with bob and eve; `directory` is for what is tapped."""
        self._farm, self._host, self._directory = farm, host, directory
        farm.lay_out()
        self._slaves: list[SimulatedSlave] = []
        for name in ("bob", "eve"):
            slave = host.add(name, Script(conducts=(Conduct(hangs=True),)))
            farm.builders.add(name, slave.url, ["x86"], trusted=True)
            self._slaves.append(slave)
        farm.start(timers={"heartbeat": 5.0, "suspect": 15.0, "lost": 45.0})
        for slave in self._slaves:
            farm.wait_runtime(slave.name, "IDLE")
        self._terminal = Terminal(farm)
        self.scenes: dict[str, str] = {}
        self._said: list[str] = []

    def play(self) -> dict[str, str]:
        """Play all scenes and return what each printed, by name."""
        try:
            for scene in (
                self._help,
                self._look,
                self._tap,
                self._nonsense,
                self._lost,
                self._freeze,
                self._crash,
                self._replay,
                self._pipe,
            ):
                self._said = []
                scene()
                self.scenes[scene.__name__.strip("_")] = "\n".join(self._said) + "\n"
            self._terminal.leave()
        finally:
            self._terminal.close()
        return self.scenes

    # --- scenes -----------------------------------------------------------------------------------

    def _help(self) -> None:
        self._say("help")
        self._say("help Cancel")

    def _look(self) -> None:
        self._say("actors")
        self._say("show bob")

    def _tap(self) -> None:
        line = "tap bob queue --only Assign,Started,Finished,Recorded"
        self._terminal.begins(line, "queue, generation 1, is tapped")
        self._farm.builders.change("eve", manual=True)
        job = self._farm.queue_build("hello")
        self._finish(job.build)
        seen = self._terminal.expect(r"(?s).*bob <- queue  Recorded[^\n]*\n")
        self._terminal.interrupt()
        self._note(f"farm> {line}")
        for one in seen.replace("\r", "").splitlines():
            if "hello" in one or "<-" in one or "->" in one:
                self._note(one)
        self._note("^C")

    def _nonsense(self) -> None:
        self._say('send bob Cancle(builder="bob")')
        self._say('send bob Cancel(builder="bob", generation="one")')
        self._say("send nobody Cancel()")

    def _lost(self) -> None:
        job = self._farm.queue_build("hello")
        self._farm.wait_runtime("bob", "BUILDING")
        attempt = self._farm.open_attempt(job.build).id
        life = self._farm.actor("bob")
        assert life is not None
        session = re.findall(r"epoch (\d+)", dict(life.state)["session"])[0]
        lost = (
            f'Finished(builder="bob", generation={life.generation}, session={session}, attempt="{attempt}",'
            ' outcome=LOST, text="so it is said", slave_usable=False)'
        )
        self._say(f"send queue {lost}", why="does the ladder react?")
        self._farm.wait_until(
            lambda: any(event.outcome == "LOST" for event in self._farm.builds.attempts(job.build)), "it has ended"
        )
        self._farm.wait_until(lambda: "failures_in_row" in self._events("builder:bob"), "the failure counts")
        self._say("events --builder bob -n 1")
        self._farm.builders.change("eve", manual=False)  # bob does not get it again
        self._finish(job.build)
        self._farm.builders.change("eve", manual=True)

    def _freeze(self) -> None:
        self._say("freeze bob 300", why="to look at it in peace")
        job = self._farm.queue_build("hello")
        self._say(f"explain {job.id}")
        self._say("actors")
        self._say("step bob", why="one by one")
        self._say("thaw bob", why="seen enough")
        self._finish(job.build)

    def _crash(self) -> None:
        generation = self._farm.actor("bob")
        self._say("crash bob out of memory", why="to see the fail notes")
        assert generation is not None

        def lives() -> bool:
            found = self._farm.actor("bob")
            return found is not None and found.generation > generation.generation

        self._farm.wait_until(lives, "bob lives again")
        self._farm.wait_until(lambda: "InjectedCrash" in self._events("builder:bob"), "it is marked")
        self._farm.wait_builder("bob", ok=True)
        self._farm.wait_runtime("bob", "IDLE")
        self._say("events --builder bob -n 3")

    def _replay(self) -> None:
        file = self._directory / "bob.story"
        self._say(f"tap bob --to {file}")
        self._finish(self._farm.queue_build("hello").build)
        self._say("untap")
        self._say(f"replay {file}")

    def _pipe(self) -> None:
        self._shell("console", "--read-only", "kill bob")
        self._shell("console", "--json", "thaw queue")
        words = ["buildd-master", "--state-directory", "/nowhere", "console", "actors"]
        ran = subprocess.run(
            command(self._farm, "console", "actors", state_directory=Path("/nowhere")),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        self._note(f"$ {' '.join(words)}; echo $?")
        self._note(f"{ran.stderr}{ran.returncode}")

    # --- how --------------------------------------------------------------------------------------

    def _say(self, line: str, why: str = "") -> None:
        said = self._terminal.says(line, why)
        self._note(f"farm> {line}")
        if why:
            self._note(f"why? {why}")
        for one in said.replace("\r", "").strip("\n").splitlines():
            self._note(one)

    def _shell(self, *words: str) -> None:
        ran = subprocess.run(command(self._farm, *words), cwd=PROJECT, capture_output=True, text=True, check=False)
        self._note(f"$ buildd-master {' '.join(words[:-1])} '{words[-1]}'; echo $?")
        self._note(f"{ran.stdout}{ran.stderr}{ran.returncode}")

    def _note(self, text: str) -> None:
        for line in text.replace(str(self._directory), "/tmp").splitlines():
            short = line.rstrip()
            self._said.append(short if len(short) <= _WIDE else short[: _WIDE - 1] + "…")

    def _finish(self, build: int) -> None:
        self._until(lambda: self._farm.builds.get(build).state is BuildState.FULLYBUILT, f"build {build} is built")
        self._farm.wait_runtime("bob", "IDLE")

    def _until(self, fact: Callable[[], bool], what: str) -> None:
        def there() -> bool:
            for slave in self._slaves:
                self._host.call(slave.finish)
            return fact()

        self._farm.wait_until(there, what)

    def _events(self, subject: str) -> str:
        rows = self._farm.conn.execute("SELECT what, after::text FROM event WHERE subject = %s", (subject,)).fetchall()
        return str(rows)


def documented() -> dict[str, str]:
    """Return what the document says of each scene."""
    return {name: text for _, name, text, _ in _BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))}


def write(scenes: dict[str, str]) -> None:
    """Write what was said into the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(
        _BLOCK.sub(lambda found: found[1] + scenes[found[2]] + found[4], text), encoding="utf-8", newline="\n"
    )


def words(text: str) -> list[str]:
    """Return the lines of a scene without what differs from one session to the next."""
    found = []
    for line in text.splitlines():
        if _ROW.match(line):
            found.append(" ".join(line.split()[:2]))
            continue
        if _HEARTBEATS.search(line):
            continue
        same = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[-0-9a-f]+", "UUID", line.removesuffix("…"))
        for what, instead in _CHANCE:
            same = re.sub(what, instead, same)
        found.append(re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?", "N", same))[:90])
    return found
