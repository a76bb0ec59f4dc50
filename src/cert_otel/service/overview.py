"""What a service will do, in lines: for its start-up, and for `cert serve --check`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cert_otel.errors import ConfigError, MissingExtraError
from cert_otel.evaluation.registry import check_names
from cert_otel.scoring.choice import MINILM, get_quantization
from cert_otel.scoring.quantization import check_quantization
from cert_otel.service import places
from cert_otel.service.security import Tokens, make_ssl_context
from cert_otel.service.settings import MEBIBYTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cert_otel.service.settings import Scorer, Security, Settings


def describe(settings: Settings) -> list[str]:
    """Return where everything listens and goes, a fact a line."""
    return list(_describe(settings))


def check_surroundings(settings: Settings) -> None:
    """Look at what the settings name: certificates, tokens, directories. Nothing is made.

    Raises:
        ConfigError: For the first that cannot be used.
    """
    if settings.security.tls is not None:
        make_ssl_context(settings.security.tls)
    Tokens(settings.security)
    _check_judges(settings)
    places.check_socket(places.get_socket(settings))
    _check_writable("inbox.path", Path(settings.inbox.path))
    _check_writable("trail.path", Path(settings.trail.path).parent)
    if settings.logs.file is not None:
        _check_writable("logs.file", Path(settings.logs.file).parent)


def _describe(settings: Settings) -> Iterator[str]:
    receiver, inbox, scorer = settings.receiver, settings.inbox, settings.scorer
    guard = _name_guard(settings.security)
    yield f"OTLP/gRPC  {receiver.grpc.endpoint}, {guard}, to {receiver.max_message_mib} MiB a request"
    yield f"OTLP/HTTP  {receiver.http.endpoint}/v1/traces, /v1/logs, /livez, /readyz"
    if settings.api.enabled:
        yield f"JSON API   {settings.api.endpoint}"
    if settings.metrics.enabled:
        yield f"metrics    {settings.metrics.endpoint}/metrics"
    full = (
        "then senders are told to wait"
        if inbox.shed == "refuse"
        else "then the oldest are skipped and recorded"
    )
    yield f"inbox      {inbox.path}, {inbox.cap_bytes / MEBIBYTE:,.0f} MiB, {full}"
    if scorer.enabled:
        yield f"scorer     {', '.join(_list_scorer(scorer))}"
    else:
        yield "scorer     off: every call is recorded as skipped"
    evaluators = ", ".join(settings.evaluation.evaluators) or "none"
    yield f"evaluation {evaluators}, preset {settings.evaluation.preset}"
    yield f"trail      {settings.trail.path}"
    yield f"deliver    {_name_destinations(settings)}"


def _list_scorer(scorer: Scorer) -> Iterator[str]:
    """Yield the model and where it runs, what was set, and what share it sees."""
    revision = f" at {scorer.revision}" if scorer.revision else ""
    yield f"{scorer.model or 'the default model'}{revision} on {scorer.device}"
    facts: dict[str, object] = {
        f"computed in {scorer.dtype}": scorer.dtype != "auto",
        f"weights of {scorer.quantization}": scorer.quantization != "none",
        f"windows of {scorer.window_tokens} tokens": scorer.window_tokens,
        f"steps embedded by {scorer.embedder}": scorer.embedder != MINILM,
        "offline": scorer.offline,
        "with code of its own": scorer.allow_remote_code,
        f"nothing older than {scorer.max_age_h or 0:g} h": scorer.max_age_h,
    }
    yield from (fact for fact, is_set in facts.items() if is_set)
    yield f"{scorer.sampling_rate:.0%} of traces"


def _name_guard(security: Security) -> str:
    parts = []
    if security.tls is not None:
        parts.append("TLS with client certificates" if security.tls.client_ca_file else "TLS")
    if security.tokens or security.tokens_file:
        parts.append("bearer tokens")
    return " and ".join(parts) or "no TLS, no token"


def _name_destinations(settings: Settings) -> str:
    deliver = settings.deliver
    places = {
        "event": deliver.endpoint,
        "span": deliver.traces_endpoint or deliver.endpoint,
        "phoenix": deliver.phoenix_endpoint,
    }
    named = [f"{kind}s to {places[kind]}" for kind in deliver.to if kind != "phoenix"]
    if "phoenix" in deliver.to:
        named.append(f"annotations to {places['phoenix']}")
    if deliver.metrics:
        named.append(f"metrics to {deliver.endpoint}")
    return ", ".join(named) or "nothing: scores are in the trail alone"


def _check_judges(settings: Settings) -> None:
    """Find what would only be noticed when a scorer starts."""
    if not settings.scorer.enabled:
        return
    try:
        check_quantization(get_quantization(settings.scorer.quantization))
    except MissingExtraError as error:
        raise ConfigError("scorer.quantization", str(error)) from None
    try:
        check_names(settings.evaluation.evaluators)
    except ConfigError as error:
        raise ConfigError("evaluation.evaluators", error.problem) from None


def _check_writable(setting: str, path: Path) -> None:
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(setting, f"{existing} is no directory that can be written")
