"""Reads the settings: one TOML file, environment variables over it, the command line over both.

Unknown keys and bad values are refused with their name and place; what may be set is `actors.settings`'.  Reads the
file and the environment, opens nothing else, makes nothing.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from actors.settings import BY_ROOT, PREFIX, SECTIONS, FileContent, Settings

_SECRET = frozenset({"database", "webhook"})  #: may hold a password: a bad value is not repeated
FILE_VARIABLE = "BUILDD_MASTER_SETTINGS"  #: names the TOML file
#: Of the command line, for who acts: no settings.
_NO_SETTINGS: Final = frozenset(
    {FILE_VARIABLE, f"{PREFIX}PERSON", f"{PREFIX}TOKEN", f"{PREFIX}TOKEN_FILE", f"{PREFIX}UTC"}
)


class BadSetting(Exception):
    """A setting that the farm can't start with; the text names the key, its place and what would do."""


def default_file() -> Path:
    """Return where the TOML file is looked for if nobody says otherwise; it need not exist."""
    if os.environ.get("CONFIGURATION_DIRECTORY"):  # of the systemd unit
        return Path(os.environ["CONFIGURATION_DIRECTORY"]) / "buildd-master.toml"
    if BY_ROOT:
        return Path("/etc/buildd-master/buildd-master.toml")
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "buildd-master" / "buildd-master.toml"


def load_settings(file: Path | None = None, **command_line: object) -> Settings:
    """Return the settings, or refuse.

    Args:
        file: TOML file; None: `$BUILDD_MASTER_SETTINGS`, else the default place, where it may be missing.
        command_line: fields by name; None means "not given".

    Raises:
        BadSetting: one line per fault.
    """
    named = file or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
    place = named or default_file()
    given: dict[str, Any] = {name: value for name, value in command_line.items() if value is not None}
    content = _read(place, required=named is not None)
    unknown = [
        f"{name}: no such setting (environment variable)"
        for name in sorted(os.environ)
        if name.upper().startswith(PREFIX) and name not in _NO_SETTINGS and not _is_field(name[len(PREFIX) :].lower())
    ]
    FileContent.content = content
    try:
        settings = Settings(**given)
    except ValidationError as error:
        faults = unknown + [_fault(dict(one), given, content, place) for one in error.errors()]
        raise BadSetting("\n".join(faults)) from error
    except ValueError as error:  # an environment variable that is no JSON where a section or list is wanted
        raise BadSetting("\n".join([*unknown, f"{error} (environment variable)"])) from error
    finally:
        FileContent.content = {}
    if unknown:
        raise BadSetting("\n".join(unknown))
    return settings


def _read(place: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not required:
            return {}
        message = f"{place}: no such file"
        raise BadSetting(message) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{place}: can't be read: {error}"
        raise BadSetting(message) from error
    except tomllib.TOMLDecodeError as error:
        message = f"{place}: not TOML: {error}"
        raise BadSetting(message) from error


def _is_field(name: str) -> bool:
    section, _, key = name.partition("__")
    if section not in Settings.model_fields:
        return False
    return not key or key in SECTIONS.get(section, {})


def _fault(error: dict[str, Any], given: dict[str, Any], content: dict[str, Any], place: Path) -> str:
    location = tuple(str(part) for part in error["loc"])
    key = ".".join(location)
    where = _where(location, given, content, place)
    if error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{key}: no such setting ({where})"
    text = str(error["msg"]).removeprefix("Value error, ")
    value = "" if isinstance(error["input"], dict) or key in _SECRET else f" = {error['input']!r}"
    return f"{key}{value}: {text[:1].lower()}{text[1:]} ({where})"


def _where(location: tuple[str, ...], given: dict[str, Any], content: dict[str, Any], place: Path) -> str:
    """Name every place that the setting may come from; the first goes over the others."""
    variable = PREFIX + "__".join(location).upper()
    variables = [name for name in sorted(os.environ) if (name.upper() + "__").startswith(variable + "__")]
    places = ["command line"] if location[0] in given else []
    places += [f"environment variable {name}" for name in variables]
    places += [str(place)] if location[0] in content else []
    places = places or ["not set"]
    return places[0] if len(location) == 1 and location[0] not in SECTIONS else ", ".join(places)
