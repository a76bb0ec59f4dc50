"""The errors that cert-otel raises, in one tree.

    CertOtelError
    ├── ConfigError        a setting is unknown or malformed            (.setting)
    ├── InputError         a file cannot be read or holds no records    (.path)
    │   └── RecordError    one line of a file is not a record           (.path, .line)
    └── MissingExtraError  a command needs an extra that is not installed (.extra)

Telemetry code raises none of them into the application: there they are counted and logged
once. Commands print the message and exit with code 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class CertOtelError(Exception):
    """Base of everything that cert-otel raises on purpose."""


class ConfigError(CertOtelError):
    """A setting is unknown or has a value that cannot be used."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting
        """The name as the user wrote it, for instance `CERT_OTEL_JSONL_MAX_MB`."""
        self.problem = problem


class InputError(CertOtelError):
    """A file that the user named cannot be read, or holds nothing to work on."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class RecordError(InputError):
    """One line of a file is not a record."""

    def __init__(self, path: Path | str, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}", problem)
        self.path = path
        self.line = line
        """Counted from 1."""


class MissingExtraError(CertOtelError):
    """A command was called whose optional dependencies are not installed."""

    def __init__(self, command: str, extra: str) -> None:
        super().__init__(
            f"`cert {command}` needs the [{extra}] extra: pip install 'cert-otel[{extra}]'"
        )
        self.extra = extra
