"""The `cert` command: one module a command, which parses, calls and prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from cert_otel.errors import CertOtelError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

EXIT_UNUSABLE: Final = 2
"""The command could not do its work: wrong arguments, settings or files."""
_EXTRA: Final = {
    "cyclopts": "cli",
    "rich": "cli",
    "duckdb": "analysis",
    "numpy": "score",
    "torch": "score",
    "transformers": "score",
    "accelerate": "score",
    "huggingface_hub": "score",
    "jinja2": "score",
    "cachetools": "score",
    "httpx2": "score",
    "grpc": "service",
    "grpc_health": "service",
    "uvicorn": "service",
    "httptools": "service",
    "uvloop": "service",
    "yaml": "service",
    "prometheus_client": "service",
    "fastapi": "service",
}
_LESSER_EXTRA: Final = {("validate", "numpy"): "analysis"}
"""Where a command needs less than others that load the same library."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `cert` command.

    Args:
        argv: Without the program's name; `sys.argv` if left out.

    Returns:
        The exit code: 0 done, 1 done and something needs attention, 2 not done.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        from cert_otel.cli._app import run  # noqa: PLC0415 - the [cli] extra may be missing

        return run(words)
    except ImportError as error:
        extra = _find_missing_extra(error, command=words[0] if words else "")
        if extra is None:
            raise
        return _refuse(MissingExtraError(" ".join(words[:1]) or "--help", extra))
    except CertOtelError as error:
        return _refuse(error)


def _refuse(error: CertOtelError) -> int:
    print(f"cert: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
    return EXIT_UNUSABLE


def _find_missing_extra(error: BaseException | None, *, command: str) -> str | None:
    """Return the extra whose module could not be imported, however deep the error wraps it."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name in _EXTRA:
            return _LESSER_EXTRA.get((command, error.name), _EXTRA[error.name])
        error = error.__cause__
    return None
