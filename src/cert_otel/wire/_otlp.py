"""What both encodings of OTLP have in common: ids, times, names."""

from __future__ import annotations

import re
from typing import Final

from cert_otel.wire.span import NANOSECONDS_END

TRACE_ID_CHARS: Final = 32
SPAN_ID_CHARS: Final = 16
STATUS_ERROR: Final = 2
EVENT_NAME: Final = "event.name"
"""Where the name of a log event was before it had a field of its own."""
_NO_HEX: Final = re.compile("[^0-9a-f]")


def find_id(text: str, length: int) -> str | None:
    """Return an id in lower-case hexadecimal digits, `None` where it is none or all zeros."""
    if len(text) != length or not text.strip("0") or _NO_HEX.search(text):
        return None
    return text


def find_time_ns(nanoseconds: int) -> int | None:
    """Return a time; 0 is "not given"."""
    return nanoseconds if 0 < nanoseconds < NANOSECONDS_END else None
