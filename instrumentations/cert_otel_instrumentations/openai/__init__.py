"""Instrumentor of the openai package: OpenAI and Azure clients, sync and async.

Loading this module imports neither the SDK nor the capture core: both come when the
application imports openai, if it does.

Example:
    ```python
    from cert_otel_instrumentations.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()
    ```
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import ModuleType

__all__ = ["OpenAIInstrumentor"]

_log = logging.getLogger(__name__)
_PATCHED_MODULE = "openai._base_client"
"""Every request of every client and endpoint passes through the classes in this module."""


class OpenAIInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # untyped there
    """Records every call of the openai package.

    `instrument()` takes `tracer_provider`, `meter_provider` and `logger_provider`; what is not
    given is the global one. It never raises: with a version of the SDK that it does not
    understand it records less, or nothing.
    """

    _providers: dict[str, Any] | None = None
    _hooked = False

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: what the SDK has is looked up when it is imported."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        names = ("tracer_provider", "meter_provider", "logger_provider")
        self._providers = {name: kwargs.get(name) for name in names}
        if not self._hooked:
            OpenAIInstrumentor._hooked = True
            wrapt.when_imported(_PATCHED_MODULE)(self._patch)
            return
        import sys  # noqa: PLC0415 - instrumented again after `uninstrument`

        if (module := sys.modules.get(_PATCHED_MODULE)) is not None:
            self._patch(module)

    def _patch(self, module: ModuleType) -> None:
        if self._providers is None:
            return
        try:
            from cert_otel_instrumentations.openai._patch import patch  # noqa: PLC0415 - lazy

            patch(module, **self._providers)
        except Exception:  # noqa: BLE001 - an import of the application must never fail for us
            _log.debug("openai is not instrumented", exc_info=True)

    def _uninstrument(self, **_: Any) -> None:
        import sys  # noqa: PLC0415 - rare

        self._providers = None
        if (module := sys.modules.get(_PATCHED_MODULE)) is not None:
            from cert_otel_instrumentations.openai._patch import unpatch  # noqa: PLC0415 - lazy

            unpatch(module)
