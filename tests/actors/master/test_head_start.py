"""What a master begins before it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from actors.master.head_start import CannotStart, HeadStart
from actors.settings import Settings
from tests.fix_farm import PROJECT


def test_neither_actors_nor_database_client_are_loaded_before_the_server_is_started() -> None:
    heavy = "psycopg", "thespian", "debian", "actors.wiring", "actors.messages"
    check = f"import sys, run_master; print(*sorted({set(heavy)!r} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", check], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert ran.stdout.split() == []


def test_a_directory_is_its_masters_until_that_one_stops(tmp_path: Path) -> None:
    settings = Settings(state_directory=tmp_path / "state", database="dbname=elsewhere")
    with HeadStart(settings) as first:
        assert first.server is None
        ready, done = os.pipe()
        rival = os.fork()
        if rival == 0:
            try:
                HeadStart(settings)
            except CannotStart as error:
                os.write(done, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(rival, 0)
        os.write(done, b".")
        assert os.read(ready, 1000).startswith(b"another master runs in")
    HeadStart(settings).stop()
