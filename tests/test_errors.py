"""The errors that commands raise: one tree, each with what a caller needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cert_otel import errors
from cert_otel.errors import (
    BackendError,
    CertOtelError,
    ConfigError,
    HubUnreachableError,
    InboxError,
    InboxFullError,
    InputError,
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
    ModelTooLargeError,
    RecordError,
    RemoteCodeError,
    TokenizerMismatchError,
    UnsupportedModelError,
)


class TestTree:
    @pytest.mark.parametrize(
        ("error", "bases"),
        [
            (CertOtelError, [Exception]),
            (ConfigError, [CertOtelError]),
            (InputError, [CertOtelError]),
            (RecordError, [InputError]),
            (MissingExtraError, [CertOtelError]),
            (InboxError, [CertOtelError]),
            (InboxFullError, [InboxError]),
            (BackendError, [CertOtelError]),
            (ModelError, [CertOtelError]),
            (ModelNotFoundError, [ModelError]),
            (HubUnreachableError, [ModelError]),
            (RemoteCodeError, [ModelError]),
            (TokenizerMismatchError, [ModelError]),
            (ModelTooLargeError, [ModelError]),
            (UnsupportedModelError, [ModelError]),
        ],
    )
    def test_bases(self, error: type[Exception], bases: list[type]) -> None:
        """One `except CertOtelError` catches them all, `except InputError` what files are to blame for."""
        assert list(error.__bases__) == bases

    def test_the_drawing_is_complete(self) -> None:
        """The tree at the top of the module names every class, and no other."""
        drawn = set(re.findall(r"^ +[│├└─ ]*(\w+Error)\b", errors.__doc__ or "", re.MULTILINE))
        defined = {name for name, value in vars(errors).items() if isinstance(value, type)}

        assert drawn == defined


class TestMessages:
    def test_config(self) -> None:
        """A setting, as the user wrote it, and what is wrong with it."""
        error = ConfigError("CERT_OTEL_QUIET", "'x' is neither true nor false")

        assert str(error) == "CERT_OTEL_QUIET: 'x' is neither true nor false"
        assert (error.setting, error.problem) == (
            "CERT_OTEL_QUIET",
            "'x' is neither true nor false",
        )

    def test_input(self) -> None:
        """A file and what is wrong with it."""
        error = InputError(Path("calls.jsonl"), "no such file")

        assert str(error) == "calls.jsonl: no such file"
        assert (error.path, error.problem) == (Path("calls.jsonl"), "no such file")

    def test_record(self) -> None:
        """A line is named as editors name it; the path stays a path."""
        error = RecordError(Path("calls.jsonl"), 17, "not JSON")

        assert str(error) == "calls.jsonl:17: not JSON"
        assert (error.path, error.line, error.problem) == (Path("calls.jsonl"), 17, "not JSON")

    def test_missing_extra(self) -> None:
        """The message is the line that installs it."""
        error = MissingExtraError("drift", "analysis")

        assert str(error) == (
            "`cert drift` needs the [analysis] extra: pip install 'cert-otel[analysis]'"
        )
        assert error.extra == "analysis"

    def test_model(self) -> None:
        """A model as the user named it and what is wrong with it; sizes in bytes."""
        error = ModelTooLargeError("big", "needs 2 GB", needed_bytes=2, free_bytes=1)

        assert str(error) == "big: needs 2 GB"
        assert (error.model, error.problem) == ("big", "needs 2 GB")
        assert (error.needed_bytes, error.free_bytes) == (2, 1)
