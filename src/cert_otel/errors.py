"""The errors that cert-otel raises, in one tree.

    CertOtelError
    ├── ConfigError        a setting is unknown or malformed            (.setting)
    ├── InputError         a file cannot be read or holds no records    (.path)
    │   └── RecordError    one line of a file is not a record           (.path, .line)
    ├── MissingExtraError  a command needs an extra that is not installed (.extra)
    ├── InboxError         the service's inbox cannot take or give    (.path)
    │   └── InboxFullError it takes no more until some is done    (.retry_after_s)
    ├── BackendError       a scoring backend cannot answer              (.backend)
    └── ModelError         a scoring model cannot be used               (.model)
        ├── ModelNotFoundError      there is no such model, folder or revision
        ├── HubUnreachableError     it is not on this machine, and the hub does not answer
        ├── RemoteCodeError         it wants to run code of its own
        ├── TokenizerMismatchError  its tokenizer is missing or another model's
        ├── ModelTooLargeError      it does not fit the memory (.needed_bytes, .free_bytes)
        └── UnsupportedModelError   its architecture cannot be scored

Telemetry code raises none of them into the application: there they are counted and logged
once. Commands print the message and exit with code 2. In the service each has a severity, which is a
label of metrics and fixes the status that the JSON API answers with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from pathlib import Path


Severity = Literal["critical", "high", "medium", "low"]
"""Nothing works until somebody acts; this failed and should not have; later it will work; who asked
is to ask otherwise."""


class CertOtelError(Exception):
    """Base of everything that cert-otel raises on purpose."""

    severity: ClassVar[Severity] = "high"


class ConfigError(CertOtelError):
    """A setting is unknown or has a value that cannot be used."""

    severity: ClassVar[Severity] = "critical"

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting
        """The name as the user wrote it, for instance `CERT_OTEL_JSONL_MAX_MB`."""
        self.problem = problem


class InputError(CertOtelError):
    """A file that the user named cannot be read, or holds nothing to work on."""

    severity: ClassVar[Severity] = "low"

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

    severity: ClassVar[Severity] = "critical"

    def __init__(self, command: str, extra: str) -> None:
        super().__init__(
            f"`cert {command}` needs the [{extra}] extra: pip install 'cert-otel[{extra}]'"
        )
        self.extra = extra


class InboxError(CertOtelError):
    """The inbox cannot take or give: its disk is full or broken, or somebody else has it."""

    severity: ClassVar[Severity] = "critical"

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class InboxFullError(InboxError):
    """The inbox holds as much as it may; what was offered was not taken."""

    severity: ClassVar[Severity] = "medium"

    def __init__(self, path: Path | str, problem: str, *, retry_after_s: float) -> None:
        super().__init__(path, problem)
        self.retry_after_s = retry_after_s
        """When there may be room again."""


class BackendError(CertOtelError):
    """A scoring backend cannot answer: another may, or the same one later."""

    severity: ClassVar[Severity] = "medium"

    def __init__(self, backend: str, problem: str) -> None:
        super().__init__(f"{backend}: {problem}")
        self.backend = backend
        """Its name, for instance `openai-compatible`."""
        self.problem = problem


class ModelError(CertOtelError):
    """A scoring model cannot be used."""

    severity: ClassVar[Severity] = "critical"

    def __init__(self, model: str, problem: str) -> None:
        super().__init__(f"{model}: {problem}")
        self.model = model
        """The name or folder as the user wrote it."""
        self.problem = problem


class ModelNotFoundError(ModelError):
    """There is no such model, folder or revision, or no access to it."""


class HubUnreachableError(ModelError):
    """The model is not on this machine, and the hub cannot be asked or may not be."""


class RemoteCodeError(ModelError):
    """The model comes with code of its own, which is never run unless allowed by name."""


class TokenizerMismatchError(ModelError):
    """The tokenizer is missing, or makes tokens that the model does not know."""


class ModelTooLargeError(ModelError):
    """The model does not fit the memory of the device."""

    def __init__(self, model: str, problem: str, *, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(model, problem)
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class UnsupportedModelError(ModelError):
    """The architecture computes something that the scorer does not know how to."""
