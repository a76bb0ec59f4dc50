"""A process of the service: `python -m cert_otel.service._child NAME`, its role on stdin.

The settings come that way because they hold tokens, which others would see among arguments. The
pipe stays open: when it ends, the supervisor is gone, and the process ends as if told to.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel.errors import CertOtelError, ConfigError
from cert_otel.service import logs, prometheus
from cert_otel.service.settings import Settings  # noqa: TC001 - msgspec decodes it

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_FAILED: Final = 1
EXIT_UNUSABLE: Final = 2
"""The settings cannot be used: to start it again would change nothing."""

_logger = logging.getLogger("cert_otel.service")


class Role(msgspec.Struct, frozen=True):
    """What a process is to do; the first line on its stdin."""

    name: str
    """`receiver`, or `scorer-0` and so on."""
    entry: str
    """`module:function`, called with the settings and, by name, part and parts."""
    part: int
    parts: int
    settings: Settings


def main() -> int:
    """Read the role, and do it."""
    # Unbuffered: at the end the interpreter waits for whoever reads a buffer, and that is for ever.
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        role = msgspec.json.decode(stdin.readline(), type=Role)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    logs.configure(role.settings.logs, role.name)
    prometheus.name_process(role.name)
    try:
        _find(role.entry)(role.settings, part=role.part, parts=role.parts)
    except CertOtelError as error:
        _logger.critical("%s", error)
        return EXIT_UNUSABLE if isinstance(error, ConfigError) else EXIT_FAILED
    return 0


def run_receiver(settings: Settings, *, part: int, parts: int) -> None:  # noqa: ARG001 - as scorers
    """Receive until told to stop."""
    import uvloop  # noqa: PLC0415 - scorers need neither it nor what follows

    from cert_otel.service.endpoints import Endpoints  # noqa: PLC0415
    from cert_otel.service.receiver import serve  # noqa: PLC0415

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, parts=parts, extension=Endpoints(settings, parts=parts)))


def _find(entry: str) -> Callable[..., Any]:
    module, _, name = entry.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _end_with_supervisor() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def list_command(name: str) -> Sequence[str]:
    """Return what starts a process; the name is for whoever looks at a list of processes."""
    return [sys.executable, "-m", "cert_otel.service._child", name]


if __name__ == "__main__":
    sys.exit(main())
