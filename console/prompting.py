"""The prompt of the debug console: completion, history, and the question for a reason."""

from __future__ import annotations

import os
import re
import types
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin, get_type_hints

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from actors.console.attach import NotAttached
from actors.console.message_text import message_types
from console.obeying import commands

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from actors.console.attach import Attached

_WORD: Final = re.compile(r"[\w.\-]*$")
_OF_MESSAGES: Final = ("send", "ask")
_OF_ACTORS: Final = ("show", "tap", "freeze", "thaw", "step", "crash", "kill", *_OF_MESSAGES)


class Prompt:
    """Asks a person for one line after the other."""

    def __init__(self, farm: Attached, history: Path) -> None:
        """Complete with what is in `farm`; remember lines in the file `history`, if it is ours to write."""
        self._session: PromptSession[str] = PromptSession(
            "farm> ", completer=Completions(farm), history=_history(history), complete_while_typing=False
        )
        self._asking: PromptSession[str] = PromptSession("why? ")

    def lines(self) -> Iterator[str]:
        """Yield what is typed, until ^D; ^C drops a line."""
        while True:
            try:
                yield self._session.prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return

    def ask_why(self) -> str:
        """Ask for the reason of a deed; empty: the person would not say."""
        try:
            return self._asking.prompt()
        except (KeyboardInterrupt, EOFError):
            return ""


class Completions(Completer):
    """What may come next: commands, actors, messages, their fields, and what these may be."""

    def __init__(self, farm: Attached) -> None:
        """Complete with the names that there are whenever somebody asks."""
        self._farm = farm

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002
        """Yield completions of the word before the cursor."""
        before = document.text_before_cursor
        word = (_WORD.search(before) or [""])[0]
        for found in self.candidates(before):
            if found.startswith(word):
                yield Completion(found, start_position=-len(word))

    def candidates(self, before: str) -> list[str]:
        """Return what the word at the end of `before` may become."""
        command, space, rest = before.lstrip().partition(" ")
        if not space:
            return [*commands()]
        if command == "help":
            return [*commands(), *message_types()]
        if command in _OF_MESSAGES and " " in rest:
            return _of_message(rest.partition(" ")[2])
        return self._names() if command in _OF_ACTORS else []

    def _names(self) -> list[str]:
        try:
            return [here.name for here in self._farm.census().here]
        except NotAttached:
            return []


def _of_message(text: str) -> list[str]:
    """Return what may come next in a message that is being typed."""
    name, opened, inside = text.partition("(")
    if not opened:
        return [f"{one}(" for one in message_types()]
    kind = message_types().get(name.strip())
    if kind is None or ")" in inside:
        return []
    hints = get_type_hints(kind)
    last = inside.rpartition(",")[2]
    field, given, _ = last.partition("=")
    if given:
        return _values(hints.get(field.strip()))
    taken = set(re.findall(r"(\w+)\s*=", inside))
    return [f"{one}=" for one in hints if one not in taken]


def _values(hint: Any) -> list[str]:  # noqa: ANN401 - a type
    """Return what a field of this type may be, where that is a few words."""
    if get_origin(hint) in {Union, types.UnionType}:
        return [word for one in get_args(hint) for word in _values(one)]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [member.name for member in hint]
    if hint is bool:
        return ["True", "False"]
    return ["None"] if hint is types.NoneType else []


def _history(file: Path) -> History:
    try:
        # Root looks into farms of others, too: never write where a link in their directory leads.
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError:
        return InMemoryHistory()
    try:
        os.fchmod(opened, 0o600)
    except OSError:
        return InMemoryHistory()
    finally:
        os.close(opened)
    return FileHistory(str(file))
