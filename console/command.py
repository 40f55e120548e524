"""`buildd-master console`: enters the running farm, obeys one command, or those on stdin, or what is typed at a prompt.

Exit codes: 0 done · 1 a command was done and its answer is no · 2 a command was refused · 3 no farm runs there.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from actors.console.attach import Attached, NotAttached
from actors.console.message_text import BadMessage
from cli.given import given as given_before
from cli.given import operators_only
from cli.options.saying_why import Why
from cli.terminal.output import AsJson
from cli.terminal.visible import visible
from console.line import BadCommand, wants_json
from console.obeying import Console, needs_no_farm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.given import Given


def console(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="One command; else a prompt, or stdin.", show_default=False),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse whatever changes something.")] = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Look into the actors of the running farm, and meddle with them.

    For debugging: `actors`, `show NAME`, `tap NAME`, `send NAME Message(…)`, `freeze NAME`; `help` tells all.  Never
    starts or stops a farm; what changes something is in the event log, with its reason, before it is done.
    """
    operators_only(context, "console")
    line = " ".join(command or []) or None
    raise typer.Exit(run_console(given_before(context), line, read_only=read_only, why=why or "", as_json=as_json))


def run_console(
    given: Given, command: str | None = None, *, read_only: bool = False, why: str = "", as_json: bool = False
) -> int:
    """Run one command, or those on stdin, or a prompt where stdin is a terminal.

    Returns:
        The exit code; of several commands the greatest.
    """
    with ExitStack() as stack:
        settings = given.settings()
        try:
            alone = command is not None and needs_no_farm([command])
            farm = None if alone else stack.enter_context(Attached(settings))
            prompt = None
            if command is None and sys.stdin.isatty() and farm is not None:
                from console.prompting import Prompt  # noqa: PLC0415 - 0.1 s that pipes need not wait

                prompt = Prompt(farm, settings.state_directory / "console-history")
            obeying = Console(
                farm,
                sys.stdout,
                given,
                read_only=read_only,
                why=why,
                as_json=as_json,
                ask_why=None if prompt is None else prompt.ask_why,
            )
            stack.callback(obeying.close)
            lines: Iterable[str] = [command] if command is not None else prompt.lines() if prompt else _piped()
            return _obey_all(obeying, lines, as_json=as_json, person=prompt is not None)
        except BadCommand as error:
            return _refuse(str(error), 2, as_json=as_json or wants_json(command or ""), who="refused")
        except NotAttached as error:
            return _refuse(str(error), 3, as_json=as_json or wants_json(command or ""), who="buildd-master")


def _piped() -> Iterable[str]:
    """Return the lines on stdin; what is not of its encoding is shown as such in a refusal, and no end of all lines."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")
    return sys.stdin


def _obey_all(console: Console, lines: Iterable[str], *, as_json: bool, person: bool) -> int:
    code = 0
    for line in lines:
        if line.strip() in {"quit", "exit"}:
            break
        try:
            code = max(code, console.obey(line))
        except (BadCommand, BadMessage) as error:
            code = max(code, _refuse(str(error), 2, as_json=as_json or wants_json(line), who="refused"))
        except KeyboardInterrupt:
            if not person:
                raise
            sys.stderr.write("\ninterrupted: what was begun may be done, and if it is a deed, `events` has it\n")
    return code


def _refuse(text: str, code: int, *, as_json: bool, who: str) -> int:
    if as_json:
        document = json.dumps({"error": {"text": text, "exit": code}}, ensure_ascii=False)
        sys.stdout.write(visible(document) + "\n")
        sys.stdout.flush()
    sys.stderr.write(visible(f"{who}: {text}") + "\n")
    return code
