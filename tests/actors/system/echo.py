"""One small actor system in a process of its own: prints its ports, then echoes lines of stdin through an actor."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from thespian.actors import Actor, ActorSystem, ThespianWatch, WatchMessage

from actors.system.ports import free_port
from actors.system.transport import adopt_orphans, read_key, secure


class Echo(Actor):  # type: ignore[misc]  # Thespian is untyped
    """Answers a text with itself, `megabytes N` with so much text, and `watch` with what it watches from then on."""

    def receiveMessage(self, message: object, sender: object) -> ThespianWatch | None:  # noqa: N802 - Thespian's name
        match message:
            case WatchMessage():
                return None  # and nothing is watched any more
            case "watch":
                readable, written = os.pipe()
                os.write(written, b"!")
                os.close(readable)
                self.send(sender, message)
                return ThespianWatch([readable])  # closed: the loop has to get over it
            case str():
                word, _, count = message.partition(" ")
                self.send(sender, "x" * (int(count) << 20) if word == "megabytes" else message)
        return None


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    adopt_orphans()
    secure(read_key(Path(sys.argv[1])))
    port = free_port()
    system = ActorSystem("multiprocTCPBase", {"Admin Port": port}, transientUnique=True)
    echo = system.createActor("tests.actors.system.echo.Echo")
    if system.ask(echo, "up", 10) != "up":
        sys.exit("no echo")
    say(f"{port} {echo.addressDetails.sockname[1]}")
    for line in sys.stdin:
        say(str(system.ask(echo, line.strip(), 10)))
    system.shutdown()


if __name__ == "__main__":
    main()
