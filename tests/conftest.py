"""What every test shares: the hypothesis profiles and the fixtures of `tests/fix_*.py`.

A room adds its fixtures by adding a file `tests/fix_<room>.py`; nothing needs to be registered here.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Examples that failed are kept with everything else that is made here, not beside the sources.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).parent.parent / ".state" / "cache" / "hypothesis")
)

# What is started here listens to these signals, also when the tests were started by `nohup`, or in the background.
for number, ours in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, ours)

pytest_plugins = tuple(f"tests.{path.stem}" for path in sorted(Path(__file__).parent.glob("fix_*.py")))
pytest.register_assert_rewrite(*pytest_plugins)  # all of them first: some import others

# No deadlines: a machine that is busy is no reason for a red test.  The same examples every time: neither is luck.
# `make test` runs the properties once more, `thorough`; `long` looks further than anybody has.
settings.register_profile(
    "fast", deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("thorough", parent=settings.get_profile("fast"), max_examples=60)
settings.register_profile("long", parent=settings.get_profile("fast"), max_examples=1000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
