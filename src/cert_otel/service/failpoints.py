"""Places where a test may end the process: only `CERT_FAILPOINT` names them, nothing else.

`CERT_FAILPOINT=after_judge:kill` kills the process with SIGKILL where it comes to this point;
`after_judge:kill:3` the third time. `raise` in place of `kill` raises ENOSPC, as a full disk
does. docs/service.md has the list.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import Final, Literal, get_args

from cert_otel.errors import ConfigError

VARIABLE: Final = "CERT_FAILPOINT"
Point = Literal[
    "after_inbox_begin",
    "after_claim",
    "after_judge",
    "trail_write",
    "mid_trail_write",
    "after_trail_sync",
    "after_inbox_finish",
    "after_delivery",
]
POINTS: Final[tuple[str, ...]] = get_args(Point)
_ACTIONS: Final = ("kill", "raise")

_passed: dict[str, int] = {}


def reach(point: Point) -> None:
    """Do what the environment asks for at this point; usually nothing."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return
    wanted, action, at = _parse(text)
    if wanted == point:
        _passed[point] = _passed.get(point, 0) + 1
        if _passed[point] >= at:
            _act(action)


def is_set(point: Point) -> bool:
    """Whether the environment names this point: only then is a write made in two pieces."""
    text = os.environ.get(VARIABLE)
    return text is not None and _parse(text)[0] == point


def _act(action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(errno.ENOSPC, "no space left (failpoint)")


def _parse(text: str) -> tuple[str, str, int]:
    point, _, rest = text.partition(":")
    action, _, at = rest.partition(":")
    if point not in POINTS or action not in _ACTIONS or not (at or "1").isdigit():
        raise ConfigError(
            VARIABLE,
            f"{text!r} is not POINT:ACTION[:TIME]; points are {', '.join(POINTS)},"
            f" actions {' and '.join(_ACTIONS)}",
        )
    return point, action, int(at or "1")
