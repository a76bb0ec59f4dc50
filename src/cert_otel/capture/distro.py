"""The distribution: what `opentelemetry-instrument` finds, and the same from code.

With nothing configured, records go to `production.jsonl`. With an OTLP endpoint set they go
there as well. Metrics and logs are exported only when they are asked for, and every `OTEL_*`
setting keeps its meaning. Nothing here changes the environment, which child processes inherit.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]

from cert_otel import __version__, config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

_log = logging.getLogger("cert_otel")

JSONL_EXPORTER: Final = "cert_jsonl"
NAME: Final = "cert_otel"
"""Entry point name of distribution and configurator."""
TRACES_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
_CONFIGURATORS: Final = "opentelemetry_configurator"
_CHOICE: Final = f"OTEL_PYTHON_DISTRO={NAME} and OTEL_PYTHON_CONFIGURATOR={NAME} choose ours"
_OTLP_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NEEDS_FULL_SDK: Final = (
    TRACES_EXPORTER,
    "OTEL_METRICS_EXPORTER",
    "OTEL_LOGS_EXPORTER",
    "OTEL_CONFIG_FILE",
    "OTEL_TRACES_SAMPLER",
    "OTEL_PYTHON_ID_GENERATOR",
    "OTEL_PYTHON_TRACER_CONFIGURATOR",
    "OTEL_PYTHON_METER_CONFIGURATOR",
    "OTEL_PYTHON_LOGGER_CONFIGURATOR",
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED",
    *_OTLP_ENDPOINTS,
)
"""With none of these set, traces to the journal are all there is, and most of the SDK's
configuration need not be imported: that is 20 ms of every start of an application."""
_INSTRUMENTORS: Final = "cert_otel_instrumentations."
_FOREIGN_INSTRUMENTORS: Final = {
    "opentelemetry.instrumentation.genai.openai": "opentelemetry-instrumentation-genai-openai",
    "opentelemetry.instrumentation.openai_v2": "opentelemetry-instrumentation-openai-v2",
    "opentelemetry.instrumentation.openai": "opentelemetry-instrumentation-openai",
    "openinference.instrumentation.openai": "openinference-instrumentation-openai",
    "openlit": "openlit",
}

_journals: Final[weakref.WeakKeyDictionary[Any, set[str]]] = weakref.WeakKeyDictionary()
"""Which journals each tracer provider writes to already."""
_announced = False
_started = False


class CertDistro(BaseDistro):  # type: ignore[misc]  # untyped there
    """The `opentelemetry_distro` entry point; there is nothing to set beforehand."""

    def _configure(self, **kwargs: Any) -> None:
        """Do nothing: the configurator reads the environment as it is."""


class CertConfigurator:
    """The `opentelemetry_configurator` entry point: starts the SDK."""

    def configure(self, *, auto_instrumentation_version: str | None = None, **_: Any) -> None:
        """Start the SDK as the environment says, with our defaults."""
        warn_of_problems()
        if config.get_config().disabled:
            return
        if any(os.environ.get(name) for name in _NEEDS_FULL_SDK):
            _start_full_sdk(auto_instrumentation_version)
        else:
            _start_traces(auto_instrumentation_version)


def configure(**settings: Any) -> config.Config:
    """Set in code what the environment sets, and start as `cert_otel.auto` does.

    Args:
        **settings: Fields of `cert_otel.config.Config`, for instance `jsonl="calls.jsonl"`,
            `capture_content=True`, `redactor=my_function`.

    Returns:
        The settings now in force.

    Raises:
        ConfigError: For an unknown setting or a value of the wrong type; nothing changes then.
    """
    settings_in_force = config.configure(**settings)
    start()
    return settings_in_force


def start(journal: str | None = None) -> None:
    """Join the tracer provider that is there or start one, and instrument.

    Args:
        journal: Where records go; the configured file if left out.
    """
    global _started  # noqa: PLW0603 - one process has one distribution
    if config.get_config().disabled:
        return
    _started = True
    try:
        _join_or_start(journal)
        _load_instrumentors()
    except Exception:  # noqa: BLE001 - the application goes on without us
        _log.warning("cert-otel could not start; the application is unaffected", exc_info=True)
    announce()


def ensure_started(journal: str | None = None) -> None:
    """Have records go somewhere: to the provider that is there, else to one of ours.

    Args:
        journal: A further file that this process's records are appended to.
    """
    if config.get_config().disabled:
        return
    provider = trace.get_tracer_provider()
    if journal is None and (_started or _is_sdk(provider)):
        return
    _join_or_start(journal)


def _join_or_start(journal: str | None) -> None:
    provider: Any = trace.get_tracer_provider()
    if not _is_sdk(provider):
        warn_of_problems()
        if journal is None:
            CertConfigurator().configure()
        else:
            _start_traces(None, journal)
        return
    path = os.path.abspath(journal or config.get_config().jsonl)  # noqa: PTH100 - no symlinks resolved
    known = _journals.setdefault(provider, set())
    if path not in known and not (journal is None and _has_journal(provider)):
        known.add(path)
        provider.add_span_processor(_journal_processor(path))


def _is_sdk(provider: trace.TracerProvider) -> bool:
    return hasattr(provider, "add_span_processor")


def _has_journal(provider: Any) -> bool:
    """Whether the provider was set up to export to a journal, by us or by `OTEL_TRACES_EXPORTER`."""
    from cert_otel.journal import JSONLSpanExporter  # noqa: PLC0415 - needs the SDK

    if _journals.get(provider):
        return True
    group = getattr(provider, "_active_span_processor", None)
    processors = getattr(group, "_span_processors", ())
    return any(
        isinstance(getattr(processor, "span_exporter", None), JSONLSpanExporter)
        for processor in processors
    )


def _start_traces(version: str | None, journal: str | None = None) -> None:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - only when not disabled
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - only when not disabled

    attributes = {} if version is None else {"telemetry.auto.version": version}
    provider: TracerProvider = TracerProvider(resource=Resource.create(attributes))
    path = os.path.abspath(journal or config.get_config().jsonl)  # noqa: PTH100 - no symlinks resolved
    provider.add_span_processor(_journal_processor(path))
    _journals[provider] = {path}
    trace.set_tracer_provider(provider)


def _journal_processor(path: str) -> BatchSpanProcessor:
    from cert_otel.capture._batch import DrainingBatchSpanProcessor  # noqa: PLC0415 - needs the SDK
    from cert_otel.capture._fingerprint import share_key  # noqa: PLC0415 - only when not disabled
    from cert_otel.journal import JSONLSpanExporter  # noqa: PLC0415 - needs the SDK

    share_key(path)
    return DrainingBatchSpanProcessor(JSONLSpanExporter(path=Path(path)))


def _start_full_sdk(version: str | None) -> None:
    from opentelemetry.sdk import _configuration  # noqa: PLC0415 - 20 ms

    from cert_otel.capture._batch import DrainingBatchSpanProcessor  # noqa: PLC0415 - needs the SDK
    from cert_otel.capture._fingerprint import share_key  # noqa: PLC0415 - only when not disabled

    exporters = default_exporters(os.environ)
    if JSONL_EXPORTER in exporters.split(","):
        share_key(config.get_config().jsonl)
    options: dict[str, Any] = {"auto_instrumentation_version": version}
    initialize: Any = _configuration._initialize_components  # noqa: SLF001 - only looked at
    if "export_span_processor" in inspect.signature(initialize).parameters:
        options["export_span_processor"] = DrainingBatchSpanProcessor
    configurator: Any = _configuration._OTelSDKConfigurator  # noqa: SLF001 - what distributions extend
    with _environment(TRACES_EXPORTER, exporters):
        configurator()._configure(**options)  # noqa: SLF001 - what distributions extend


def default_exporters(environ: Mapping[str, str]) -> str:
    """Return the trace exporters, as `OTEL_TRACES_EXPORTER` would name them."""
    named = environ.get(TRACES_EXPORTER)
    if named:
        return named
    has_endpoint = any(environ.get(name) for name in _OTLP_ENDPOINTS)
    return f"{JSONL_EXPORTER},otlp" if has_endpoint else JSONL_EXPORTER


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable while the SDK configures itself; child processes never see it."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _load_instrumentors() -> None:
    from opentelemetry.util._importlib_metadata import entry_points  # noqa: PLC0415 - 5 ms

    excluded = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").replace(" ", "")
    for entry_point in entry_points(group="opentelemetry_instrumentor"):
        if not entry_point.value.startswith(_INSTRUMENTORS):
            continue
        if excluded == "*" or entry_point.name in excluded.split(","):
            continue
        instrumentor = entry_point.load()()
        if not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument(skip_dep_check=True)


def warn_of_problems() -> None:
    """Say once what is wrong with the settings; the application runs on with the defaults."""
    problems = config.get_problems()
    if problems:
        _log.warning("cert-otel settings: %s", "; ".join(str(problem) for problem in problems))
        problems.clear()


def announce() -> None:
    """Print the one start-up line, to stderr: what is captured and where it goes."""
    global _announced  # noqa: PLW0603 - once in a process
    settings = config.get_config()
    if _announced or settings.quiet or settings.disabled:
        return
    _announced = True
    try:
        print(f"cert-otel {__version__}: {_describe(settings)}", file=sys.stderr)  # noqa: T201 - the line
    except Exception:  # noqa: BLE001 - a closed stderr is no reason to fail
        _log.debug("start-up line not printed", exc_info=True)


def _describe(settings: config.Config) -> str:
    parts = [f"model calls are recorded, {_content(settings)}, to {_destination(settings)}"]
    others = [name for module, name in _FOREIGN_INSTRUMENTORS.items() if module in sys.modules]
    if others:
        parts.append(f"also instrumenting: {', '.join(others)}; no call is counted twice")
    return "; ".join(parts)


def _content(settings: config.Config) -> str:
    if settings.capture_content:
        return "content on"
    where = "on events alone" if settings.capture_content_events else "off"
    return f"content {where} ({config.CAPTURE_CONTENT}=SPAN_ONLY turns it on)"


def _destination(settings: config.Config) -> str:
    provider = trace.get_tracer_provider()
    if not _is_sdk(provider):
        return f"nowhere: {_find_winner()} set no tracer provider ({_CHOICE})"
    places = []
    if _has_journal(provider):
        places += sorted(_journals.get(provider) or {settings.jsonl})
    if "otlp" in default_exporters(os.environ):
        places.append("OTLP")
    if places:
        return " and ".join(places)
    return f"the tracer provider of {_find_winner()} ({_CHOICE})"


def _find_winner() -> str:
    """Name the distribution whose configurator was loaded in place of ours."""
    from opentelemetry.util._importlib_metadata import entry_points  # noqa: PLC0415 - 5 ms

    found = [point for point in entry_points(group=_CONFIGURATORS) if point.name != NAME]
    chosen = os.environ.get("OTEL_PYTHON_CONFIGURATOR")
    names = [point.dist.name for point in found if point.dist and chosen in (None, point.name)]
    return names[0] if names else "the application"
