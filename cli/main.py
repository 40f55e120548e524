"""The command `buildd-master`: runs `cli.app`, and turns what stops it into one line and an exit code.

Exit codes: 0 done · 1 the thing asked for was tried and failed · 2 bad usage, bad input or a missing role,
nothing was changed · 3 the farm, its database or a tool of this machine does not answer · 130 interrupted.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

from cli.app import command_line, meant
from cli.errors import INTERRUPTED, CommandError
from cli.options.every_command import finish
from cli.options.examples import PROGRAM
from cli.terminal.output import console, print_json
from host.unprivileged import CannotRunUnprivileged
from storage.errors import BadValue, DatabaseRefuses, Exists, StorageError, TokenRefused, Unknown, WrongState


def main() -> NoReturn:
    """Run the command line of this process; told to end, it clears away what it made."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by who started us, as in `>&-`; a socket must not get its number
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no ✘ or … shows a question mark
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda which, _: sys.exit(128 + which))
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; whatever is wrong is one line on stderr."""
    try:
        result = _program(meant(arguments or _completed())).main(
            args=list(arguments), prog_name=PROGRAM, standalone_mode=False
        )
        sys.stdout.flush()
    except BrokenPipeError:  # as in `buildd-master build list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except typer.TyperException as error:
        return _stop(_usage(error), error.exit_code, arguments)
    except CommandError as error:
        return _stop(str(error), error.exit_code, () if error.answered else arguments)
    except StorageError as error:
        return _stop(str(error).partition("\n")[0], _storage_code(error), arguments)
    except _unreachable() as error:
        return _stop(" ".join(str(error).split()), 3, arguments)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        return _stop(f"this machine refuses: {named}{error.strerror}", 3, arguments)
    return result if isinstance(result, int) else 0


@cache
def _program(names: frozenset[str]) -> TyperGroup:
    """Return the commands of these names; reading all of them off the functions' signatures takes 70 ms."""
    return finish(cast("TyperGroup", get_command(command_line(names))))


def _completed() -> Sequence[str]:
    """Return the whole words before the one that a shell asks us to complete; none if it does not."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return line.split() if line[-1:].isspace() else line.split()[:-1]


def _unreachable() -> tuple[type[Exception], ...]:
    """Return what says that this machine or the database fails us; asked only when something was raised."""
    import psycopg  # noqa: PLC0415 - what never opens the database need not load it

    return CannotRunUnprivileged, psycopg.OperationalError


def _storage_code(error: StorageError) -> int:
    match error:
        case Unknown() | Exists() | BadValue() | TokenRefused() | DatabaseRefuses():
            return 2
        case WrongState():
            return 1
        case _:
            return 3


def _usage(error: typer.TyperException) -> str:
    """Return typer's own words, and where to read on."""
    text = error.format_message()
    context = getattr(error, "ctx", None)
    if "\n" in text or context is None:  # a group without a command: the text is its help
        return text
    return f"{text.rstrip('.')}: see `{context.command_path} --help`"


def _stop(text: str, code: int, arguments: Sequence[str]) -> int:
    if "\n" in text:
        sys.stdout.write(f"{text}\n")
        return code
    if "--json" in arguments:
        print_json({"error": {"text": text, "exit": code}})
    console(err=True).print(f"{PROGRAM}: {text}", markup=False, soft_wrap=True)
    return code
