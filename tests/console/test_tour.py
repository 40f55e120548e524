"""The guided tour in the documents is what a real session says today."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.console.tour import Tour, documented, words, write

if TYPE_CHECKING:
    from pathlib import Path

    from simulation.slaves.buildd.host import SlaveHost
    from tests.fix_farm import FarmUnderTest

pytestmark = pytest.mark.slow


def test_the_tour_in_the_documents_is_what_a_session_says(
    whole_farm: FarmUnderTest, slave_host: SlaveHost, tmp_path: Path
) -> None:
    scenes = Tour(whole_farm, slave_host, tmp_path).play()
    if os.environ.get("WRITE_TOUR"):
        write(scenes)
    told = documented()
    assert told.keys() == scenes.keys()
    for name, said in scenes.items():
        then, now = ("\n".join(sorted(words(text))) for text in (told[name], said))  # who is heard first is chance
        assert then == now, f"{name}:\n{said}"
