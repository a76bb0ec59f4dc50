"""What `cert.yaml` may hold: one struct a section, strict keys, safe defaults.

`load` reads a file; an error names the file, the line and the key. docs/service.schema.json is
made of these structs.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import msgspec

from cert_otel.config import QuantizationName  # noqa: TC001 - msgspec resolves it
from cert_otel.errors import ConfigError
from cert_otel.scoring.choice import MINILM
from cert_otel.service._yaml import Document, read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Endpoint = Annotated[str, msgspec.Meta(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+):[0-9]{1,5}$")]
"""`host:port`, or `[::1]:port`."""
Text = Annotated[str, msgspec.Meta(min_length=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Whole = Annotated[int, msgspec.Meta(ge=1)]
Listener = Literal["receiver", "api", "metrics"]

MEBIBYTE: Final = 2**20
_HIGHEST_PORT: Final = 65_535
_FIELD: Final = re.compile(r"^(.*?)(?: - at `\$\.?(.*?)`)?$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")


class Grpc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP/gRPC."""

    endpoint: Endpoint = "127.0.0.1:4317"


class Http(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP/HTTP."""

    endpoint: Endpoint = "127.0.0.1:4318"


class Receiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where OTLP comes in, and how much of it at once."""

    grpc: Grpc = Grpc()
    http: Http = Http()
    max_message_mib: Annotated[int, msgspec.Meta(ge=1, le=512)] = 64
    """A request larger than this, unpacked, is refused."""
    request_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30.0
    """A request over HTTP that has not arrived by then is refused."""
    max_connections: Whole = 1_000
    """Over HTTP; beyond it 503 is answered."""


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates, in PEM. They are read again when the files change."""

    cert_file: Text
    key_file: Text
    client_ca_file: Text | None = None
    """Set, clients must show a certificate of these authorities."""


class Security(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may send. It holds for the receiver and the API; tokens also for the metrics."""

    tls: Tls | None = None
    tokens: tuple[Text, ...] = ()
    """Bearer tokens, any of which is accepted; by `${env:NAME}` rather than in the file."""
    tokens_file: Text | None = None
    """More of them, one a line; read again when the file changes."""
    insecure: tuple[Listener, ...] = ()
    """Listeners that may be open to the network with neither TLS nor token."""


class Api(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON API."""

    enabled: bool = True
    endpoint: Endpoint = "127.0.0.1:8000"


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`/metrics`, for Prometheus."""

    enabled: bool = True
    endpoint: Endpoint = "127.0.0.1:9090"


class Inbox(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is received and not yet scored."""

    path: Text = "cert-data/inbox"
    """A directory of its own, on a local disk."""
    cap_bytes: Annotated[int, msgspec.Meta(ge=8 * MEBIBYTE)] = 10 * 1024 * MEBIBYTE
    """How much disk it may take; four fifths of it are accepted."""
    shed: Literal["refuse", "oldest"] = "refuse"
    """Beyond that: `refuse` and let the collector keep it, or skip the `oldest` and record that."""


class Scorer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What scores, and how much of what comes."""

    enabled: bool = True
    """Without it every call is recorded as skipped, and no model is loaded."""
    model: Text | None = None
    """Name on the hub or folder; `cert models` lists what is here."""
    revision: Text | None = None
    """Commit, tag or branch of that model on the hub; the newest when left out."""
    offline: bool = False
    """Take what is on this machine, and never ask the hub."""
    allow_remote_code: tuple[Text, ...] = ()
    """Names of models whose own code may run."""
    device: Annotated[str, msgspec.Meta(pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$")] = "auto"
    """`auto` and `cuda` are one process for each GPU; `cuda:1` is one on that."""
    dtype: Literal["auto", "bfloat16", "float16", "float32", "float64"] = "auto"
    """What is computed in; `auto` is bfloat16 where the device has it."""
    quantization: QuantizationName = "none"
    """Weights of 8 or 4 bits, for a model that does not fit otherwise."""
    window_tokens: Whole | None = None
    """Longest text that is read at once; the model's window when left out."""
    embedder: Text = MINILM
    """Of reasoning steps: `minilm`; `hidden`, the model's own states; or a model's name or folder."""
    sampling_rate: Share = 1.0
    """The share of traces that is scored; the rest is recorded as skipped."""
    batch_tokens: Whole | None = None
    """Tokens in a batch; by the memory of the device when left out."""
    read_ahead_mib: Whole = 64
    """What is taken out of the inbox at once, to be sorted by length."""
    max_text_chars: Whole = 1_000_000
    """Longer calls are recorded as skipped."""
    max_age_h: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Calls that waited longer for their turn are recorded as skipped; none when left out."""
    dedupe_window_h: Annotated[float, msgspec.Meta(gt=0)] = 168.0
    """How long a span is known again, should a sender repeat it."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers against their context."""

    preset: Literal["general", "financial", "healthcare", "legal"] = "general"
    evaluators: tuple[Text, ...] = ("grounding",)
    threshold: Share | None = None
    """In place of the preset's."""


class Trail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records go."""

    path: Text = "cert-data/trail"
    """A directory of segments, read like any journal: `cert read cert-data/trail`."""
    max_mb: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """A segment ends when it would grow beyond this; 134 when left out."""


class Deliver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes back to where people look: one event, span or annotation a score."""

    to: tuple[Literal["event", "span", "phoenix"], ...] = ()
    endpoint: Text | None = None
    """OTLP/gRPC, for events and spans: `http://collector:4317`, or `https://…`."""
    traces_endpoint: Text | None = None
    """For spans, when another."""
    phoenix_endpoint: Text | None = None
    """`http://phoenix:6006`."""
    headers: dict[str, Text] = {}
    """Sent along, for instance `authorization`."""
    metrics: bool = False
    """Metrics by OTLP to `endpoint` as well."""


class Logs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the service says about itself."""

    format: Literal["json", "human"] = "human"
    level: Literal["debug", "info", "warning", "error"] = "info"
    file: Text | None = None
    """Standard output when left out."""
    max_mb: Annotated[float, msgspec.Meta(gt=0)] = 100.0
    max_files: Whole = 5


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    receiver: Receiver = Receiver()
    security: Security = Security()
    api: Api = Api()
    metrics: Metrics = Metrics()
    inbox: Inbox = Inbox()
    scorer: Scorer = Scorer()
    evaluation: Evaluation = Evaluation()
    trail: Trail = Trail()
    deliver: Deliver = Deliver()
    logs: Logs = Logs()


class Address(NamedTuple):
    """An endpoint in its parts."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_endpoint(endpoint: str) -> Address:
    """Split `host:port`."""
    host, _, port = endpoint.rpartition(":")
    return Address(host.strip("[]"), int(port))


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `cert.yaml`, or the defaults where there is no file.

    Raises:
        ConfigError: For the first thing in it that cannot be used.
    """
    if path is None:
        return Settings()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from None
    document = read_document(path, text, environ)
    try:
        # Not strict: what comes out of the environment is text, whatever it stands for.
        settings = msgspec.convert(document.data, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise _explain(path, document, str(error)) from None
    for place, problem in _check(settings):
        raise ConfigError(f"{path}:{_find_line(document, place)}", f"{place}: {problem}")
    return settings


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the file."""
    return msgspec.json.schema(Settings)


def _explain(path: Path, document: Document, message: str) -> ConfigError:
    found = _FIELD.match(message)
    problem, place = (message, "") if found is None else (found[1], found[2] or "")
    unknown = _UNKNOWN.fullmatch(problem)
    if unknown is not None:
        key = unknown[1]
        problem = f"is no setting{_suggest(place, key)}"
        place = f"{place}.{key}" if place else key
    return ConfigError(f"{path}:{_find_line(document, place)}", f"{place or 'file'}: {problem}")


def _suggest(place: str, key: str) -> str:
    section: Any = Settings()
    for name in filter(None, place.split(".")):
        section = getattr(section, name, None) or (Tls if name == "tls" else None)
    known = getattr(section, "__struct_fields__", ())
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(known)}"


def _find_line(document: Document, place: str) -> int:
    """Return the line of a place, or of what it is in."""
    while place and place not in document.lines:
        place = re.sub(r"(^|\.)[^.\[]+$|\[\d*\.*\]$", "", place)
    return document.lines.get(place, 1)


def _check(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield what the types cannot say, with its place."""
    security = settings.security
    has_tokens = bool(security.tokens or security.tokens_file)
    guards: dict[Listener, bool] = {
        "receiver": has_tokens or security.tls is not None,
        "api": has_tokens or security.tls is not None,
        "metrics": has_tokens,
    }
    for place, endpoint, listener in _list_endpoints(settings):
        address = parse_endpoint(endpoint)
        if address.port > _HIGHEST_PORT:
            yield place, f"{address.port} is no port"
        guarded = guards[listener] or listener in security.insecure
        if not address.is_loopback and not guarded:
            yield (
                place,
                (
                    f"{address.host} is open to the network without TLS or token: set security.tls or"
                    f" security.tokens, or allow it with security.insecure: [{listener}]"
                ),
            )
    least = 4 * settings.receiver.max_message_mib * MEBIBYTE
    if settings.inbox.cap_bytes < least:
        yield "inbox.cap_bytes", f"must be at least four of the largest messages, {least:,}"
    yield from _check_scorer(settings.scorer)
    yield from _check_deliver(settings.deliver)


def _list_endpoints(settings: Settings) -> Iterator[tuple[str, str, Listener]]:
    yield "receiver.grpc.endpoint", settings.receiver.grpc.endpoint, "receiver"
    yield "receiver.http.endpoint", settings.receiver.http.endpoint, "receiver"
    if settings.api.enabled:
        yield "api.endpoint", settings.api.endpoint, "api"
    if settings.metrics.enabled:
        yield "metrics.endpoint", settings.metrics.endpoint, "metrics"


def _check_scorer(scorer: Scorer) -> Iterator[tuple[str, str]]:
    if scorer.revision is not None and scorer.model is None:
        yield "scorer.revision", "is of a model; name that in scorer.model"
    others = [name for name in scorer.allow_remote_code if name != scorer.model]
    if others:
        problem = f"{', '.join(others)} is not scorer.model, and would never run"
        yield "scorer.allow_remote_code", problem


def _check_deliver(deliver: Deliver) -> Iterator[tuple[str, str]]:
    if "event" in deliver.to and deliver.endpoint is None:
        yield "deliver.to", "event needs deliver.endpoint, where events go by OTLP"
    if "span" in deliver.to and deliver.endpoint is None and deliver.traces_endpoint is None:
        yield "deliver.to", "span needs deliver.endpoint or deliver.traces_endpoint"
    if "phoenix" in deliver.to and deliver.phoenix_endpoint is None:
        yield "deliver.to", "phoenix needs deliver.phoenix_endpoint"
    if deliver.metrics and deliver.endpoint is None:
        yield "deliver.metrics", "needs deliver.endpoint, where metrics go by OTLP"
