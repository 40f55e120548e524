"""The drawing of a run can be read, also without colours."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from simulation.plot import HEIGHT, WIDTH, drawing
from simulation.run import draw, run

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.slow
def test_every_line_has_a_name_a_dash_and_stays_on_the_sheet() -> None:
    found = run(draw(seed=3, builders=8, jobs=200, hours=3.0, faults="heavy", times=4.0, minutes=30.0))
    sheet = ET.fromstring(drawing(found))
    lines = [path for path in sheet.iter(f"{SVG}path") if path.get("class") == "line"]
    assert len(lines) == 4
    assert len({(line.get("stroke"), line.get("stroke-dasharray")) for line in lines}) == 4
    for panel in (lines[:2], lines[2:]):
        assert len({line.get("stroke-dasharray") for line in panel}) == 2, "told apart without colours"
    names = [text.text for text in sheet.iter(f"{SVG}text")]
    assert {"waiting", "running", "registered", "ok"} <= set(names)
    for line in lines:
        places = [
            float(part) for part in (line.get("d") or "").replace("M", " ").replace("H", " ").replace("V", " ").split()
        ]
        assert all(0 <= place <= max(WIDTH, HEIGHT) for place in places)
    marks = [title.text or "" for title in sheet.iter(f"{SVG}title")]
    assert any("queue actor crash" in mark for mark in marks)


@pytest.mark.parametrize("jobs", [0, 1])
def test_a_farm_in_which_nothing_happens_can_be_drawn(jobs: int) -> None:
    ET.fromstring(drawing(run(draw(seed=1, builders=1, jobs=jobs, hours=0.2))))
