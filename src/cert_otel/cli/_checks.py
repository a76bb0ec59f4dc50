"""What `cert doctor` looks at: one function a question, each with an answer and advice."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec

from cert_otel.capture.distro import JSONL_EXPORTER, NAME, default_exporters
from cert_otel.config import CAPTURE_CONTENT, SECRETS, Config
from cert_otel.errors import InputError
from cert_otel.pricing import check_files, table_info

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.metadata import EntryPoint

_SDKS: Final = {
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "boto3": ("bedrock", "botocore", "boto3"),
    "langchain-core": ("langchain",),
    "llama-index-core": ("llamaindex", "llama_index"),
    "google-genai": ("google_genai", "google_generativeai"),
    "transformers": ("transformers",),
    "ollama": ("ollama",),
}
"""Distribution to how modules of its instrumentors are called."""
_OURS: Final = "cert_otel_instrumentations."
_DISABLED_INSTRUMENTATIONS: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_TRACES_EXPORTERS: Final = "opentelemetry_traces_exporter"
_CONNECT_TIMEOUT_S: Final = 1.0
_OLD_PRICES_DAYS: Final = 90
"""Providers change prices several times a year: a quarter old is worth a look."""
_NEWER_PRICES: Final = "update cert-otel, or install a newer table: cert prices update FILE"
_DEFAULT_ENDPOINTS: Final = {
    "grpc": "http://localhost:4317",
    "http/protobuf": "http://localhost:4318",
}


class Check(msgspec.Struct, frozen=True):
    """One question and its answer."""

    name: str
    status: Literal["ok", "info", "attention"]
    finding: str
    advice: str | None = None


def run_all(environ: Mapping[str, str]) -> list[Check]:
    """Run every check; nothing is imported, changed or sent."""
    config, problems = Config.from_environ(environ)
    settings = [
        Check("settings", "attention", str(problem), "fix or unset it; the default is in force")
        for problem in problems
    ]
    return [
        *_check_sdks(environ),
        _check_distribution("distribution", "opentelemetry_distro", "OTEL_PYTHON_DISTRO", environ),
        _check_distribution(
            "configurator", "opentelemetry_configurator", "OTEL_PYTHON_CONFIGURATOR", environ
        ),
        _check_content(config),
        *_check_exporters(config, environ),
        _check_prices(config),
        *(settings or [_describe_settings(config)]),
    ]


def _check_sdks(environ: Mapping[str, str]) -> Iterator[Check]:
    disabled = environ.get(_DISABLED_INSTRUMENTATIONS, "").replace(" ", "").split(",")
    instrumentors = [
        entry_point
        for entry_point in entry_points(group="opentelemetry_instrumentor")
        if entry_point.name not in disabled and "*" not in disabled
    ]
    found = [check for sdk in _SDKS if (check := _check_sdk(sdk, instrumentors)) is not None]
    if not found:
        names = ", ".join(_SDKS)
        yield Check("SDKs", "attention", f"none is installed here; known are {names}")
    yield from found


def _check_sdk(sdk: str, instrumentors: list[EntryPoint]) -> Check | None:
    try:
        installed = version(sdk)
    except PackageNotFoundError:
        return None
    name = f"{sdk} {installed}"
    by = [entry_point for entry_point in instrumentors if _is_for(entry_point, sdk)]
    if not by:
        return Check(name, "info", "not instrumented by anybody here")
    modules = [entry_point.module for entry_point in by]
    finding = f"instrumented by {' and '.join(modules)}"
    if len(by) == 1:
        return Check(name, "ok", finding)
    ours = next((ep.name for ep in by if ep.value.startswith(_OURS)), by[0].name)
    advice = (
        "no call is counted twice; to leave one out, uninstall it or set "
        f"{_DISABLED_INSTRUMENTATIONS} to its name ({', '.join(sorted({ep.name for ep in by}))}; "
        f"ours is {ours})"
    )
    return Check(name, "attention", finding, advice)


def _is_for(entry_point: EntryPoint, sdk: str) -> bool:
    segments = entry_point.module.split(".")
    return any(segment in (prefix, f"{prefix}_v2") for segment in segments for prefix in _SDKS[sdk])


def _check_distribution(name: str, group: str, variable: str, environ: Mapping[str, str]) -> Check:
    names = [entry_point.name for entry_point in entry_points(group=group)]
    chosen = environ.get(variable)
    if chosen is not None and chosen not in names:
        return Check(
            name, "attention", f"{variable}={chosen} is not installed; there is {', '.join(names)}"
        )
    winner = chosen or (names[0] if names else "none")
    others = f", of {', '.join(names)}" if len(names) > 1 else ""
    if winner == NAME:
        return Check(name, "ok", f"{winner}{others}")
    advice = f"set {variable}={NAME} to have ours; the instrumentors work under either"
    return Check(name, "attention", f"{winner}{others}", advice)


def _check_content(config: Config) -> Check:
    if config.capture_content:
        return Check("content", "ok", "messages are captured on spans")
    where = "on events alone" if config.capture_content_events else "off"
    advice = f"answers can be scored and evaluated only with {CAPTURE_CONTENT}=SPAN_ONLY"
    return Check("content", "info", where, advice)


def _check_exporters(config: Config, environ: Mapping[str, str]) -> Iterator[Check]:
    sdk_disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if config.disabled or sdk_disabled:
        variable = "CERT_OTEL_DISABLED" if config.disabled else "OTEL_SDK_DISABLED"
        yield Check("exporters", "attention", f"{variable} is set: nothing is recorded", "unset it")
        return
    names = [name.strip() for name in default_exporters(environ).split(",")]
    yield _check_exporter_names(names)
    if JSONL_EXPORTER in names:
        yield _check_journal(Path(config.jsonl))
    if any(name.startswith("otlp") for name in names):
        yield _check_endpoint(environ)


def _check_exporter_names(names: list[str]) -> Check:
    installed = {entry_point.name for entry_point in entry_points(group=_TRACES_EXPORTERS)}
    unknown = [name for name in names if name not in installed | {"none"}]
    if unknown:
        advice = f"there is {', '.join(sorted(installed))}; OTEL_TRACES_EXPORTER chooses"
        finding = f"{', '.join(unknown)} is not installed: nothing is recorded"
        return Check("exporters", "attention", finding, advice)
    if names == ["none"]:
        return Check("exporters", "attention", "OTEL_TRACES_EXPORTER=none: nothing is recorded")
    return Check("exporters", "ok", ", ".join(names))


def _check_journal(path: Path) -> Check:
    name = "journal"
    if path.is_dir():
        return Check(name, "attention", f"{path} is a directory", "CERT_OTEL_JSONL names a file")
    if path.exists():
        if os.access(path, os.W_OK):
            return Check(name, "ok", f"{path}, {path.stat().st_size:,} bytes")
        return Check(name, "attention", f"{path} is not writable", "see its owner and rights")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Check(name, "ok", f"{path}, not there yet")
    return Check(
        name, "attention", f"{path} cannot be made: {folder} is no folder that can be written"
    )


def _check_endpoint(environ: Mapping[str, str]) -> Check:
    protocol = (
        environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "grpc"
    )
    endpoint = (
        environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or _DEFAULT_ENDPOINTS.get(protocol, _DEFAULT_ENDPOINTS["grpc"])
    )
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        # Without what may stand before the host: a password.
        shown = f"{parts.hostname}:{port} ({protocol})"
        socket.create_connection((parts.hostname or "", port), _CONNECT_TIMEOUT_S).close()
    except ValueError as error:
        advice = "OTEL_EXPORTER_OTLP_ENDPOINT is written http://HOST:PORT"
        return Check("OTLP", "attention", f"the endpoint is no address: {error}", advice)
    except OSError as error:
        return Check("OTLP", "attention", f"{shown}: {error}", "is the collector running?")
    return Check("OTLP", "ok", f"{shown} is reachable")


def _check_prices(config: Config) -> Check:
    try:
        check_files(config)
    except InputError as error:
        return Check("prices", "attention", str(error), "calls are priced without that file")
    info = table_info()
    days = (datetime.now(UTC).date() - info.date).days
    finding = (
        f"{info.version}, {info.model_count} models of {info.provider_count} providers, "
        f"{days} days old"
    )
    if days <= _OLD_PRICES_DAYS:
        return Check("prices", "ok", finding)
    return Check("prices", "attention", finding, _NEWER_PRICES)


def _describe_settings(config: Config) -> Check:
    changed = {
        name: "(secret)" if name in SECRETS else value
        for name, value in msgspec.structs.asdict(config).items()
        if value != getattr(Config(), name)
    }
    text = ", ".join(f"{name}={value}" for name, value in changed.items())
    return Check("settings", "ok", text or "all defaults")
