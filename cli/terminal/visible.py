"""What strangers wrote, as it may go to a terminal: nothing in it moves or commands the terminal, or hides.

Logs keep their colours and have their own rule (`cli.builds.log_reading`).
"""

from __future__ import annotations

import re
from typing import Final

#: control characters but tab and newline, what breaks lines elsewhere, and what turns the direction of writing
_STEERING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Return `text` with every character that would steer a terminal written out, as JSON does it: `\u001b`."""
    return text if text.isprintable() else _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
