"""The current context, set and undone."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, get_current, get_value, set_value

from cert_otel.capture import _activation
from cert_otel.capture._activation import activate, release

if TYPE_CHECKING:
    import pytest


class TestActivate:
    def test_it_is_the_current_one_until_released(self) -> None:
        """OpenTelemetry sees what was set, and what was there before."""
        before = get_current()
        token = activate(set_value("key", "value", before))

        assert get_value("key") == "value"
        release(token)
        assert get_current() == before

    def test_release_in_another_context_is_silent(self, caplog: pytest.LogCaptureFixture) -> None:
        """A coroutine that was dropped ends elsewhere: nothing is undone, raised or logged."""
        token = contextvars.copy_context().run(activate, Context({"key": "value"}))
        release(token)

        assert get_value("key") is None
        assert caplog.records == []

    def test_another_kind_of_context_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where somebody plugged in a context without a variable, its own way back is taken."""
        undone: list[Any] = []
        monkeypatch.setattr(_activation, "detach", undone.append)
        token: Any = object()
        release(token)

        assert undone == [token]
