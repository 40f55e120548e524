"""Where the product's folders are, and how they come first on `sys.path`.

The code imports its folders by their own short names (`actors`, `protocol`, `storage`, …).  Other distributions install
packages of these very names, so the wheel keeps ours below `buildd_master/app/`, and the launchers put that folder in
front of everything else; in a checkout it is the folder that `buildd_master/` itself lies in.  docs/adr/0080.

Nothing is imported as `buildd_master.app.…`: a class would get a second identity, and pickled messages would break.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_INTERRUPTED = 130  #: exit code after Ctrl-C


def folder() -> Path:
    """Return the folder that holds `actors/`, `storage/`, …: installed or in a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / "app"
    return installed if installed.is_dir() else here.parent


def come_first() -> None:
    """Put the product's folder first on `sys.path`, once."""
    first = str(folder())
    if sys.path[:1] != [first]:
        sys.path.insert(0, first)


@contextmanager
def loading() -> Iterator[None]:
    """Import what a program consists of: ours first, and without the collector looking through it again and again.

    A sixth of the time that a short command takes would go into that.
    """
    come_first()
    gc.disable()
    try:
        yield
    except KeyboardInterrupt:  # before anything was done: nobody wants to read where
        raise SystemExit(_INTERRUPTED) from None
    finally:
        gc.freeze()
        gc.enable()
