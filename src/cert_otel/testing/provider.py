"""Run the fake provider as a program: `python -m cert_otel.testing.provider`.

Prints its base URL as the first line and serves until it is interrupted or terminated.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cert_otel.errors import RecordError
from cert_otel.testing._provider import FakeProvider
from cert_otel.testing._replies import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main", "read_replies"]


def read_replies(path: Path) -> list[Reply]:
    """Read replies from JSON lines: a text, or an object with fields of `Reply`.

    Raises:
        RecordError: When a line is neither.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_read_reply(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _read_reply(path: Path, number: int, line: str) -> Reply:
    try:
        return _build_reply(json.loads(line))
    except (TypeError, ValueError) as error:
        raise RecordError(path, number, f"not a reply: {error}") from None


def _build_reply(fields: Any) -> Reply:
    if isinstance(fields, str):
        return Reply(fields)
    if not isinstance(fields, dict):
        raise TypeError("not a text or an object")
    calls = [ToolCall(**call) for call in fields.pop("tool_calls", ())]
    return Reply(**fields, tool_calls=calls)


def main(
    arguments: Sequence[str] | None = None, *, wait: Callable[[], object] | None = None
) -> int:
    """Serve until `wait` returns; by default until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m cert_otel.testing.provider")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--answers", type=Path, help="JSON lines: texts or reply objects")
    options = parser.parse_args(arguments)
    try:
        answers = None if options.answers is None else read_replies(options.answers)
        provider = FakeProvider(answers, port=options.port)
    except (OSError, RecordError) as error:
        parser.error(str(error))
    stops = (signal.SIGINT, signal.SIGTERM)
    # Blocked before the server's threads start, so that only the main thread takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with provider:
        sys.stdout.write(f"{provider.base_url}\n")
        sys.stdout.flush()
        (wait or (lambda: signal.sigwait(stops)))()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
    return 0


if __name__ == "__main__":
    sys.exit(main())
