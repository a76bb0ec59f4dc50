"""The settings of cert-otel: every `CERT_OTEL_*` variable in one struct.

Settings of OpenTelemetry keep their own names and meaning; only what they do not cover is
here. `Config.from_environ` reads a mapping and returns what was wrong with it beside the
result, so that each host decides: the command line raises, the application warns once and
runs on with the default of the setting in question.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, get_args

import msgspec

from cert_otel.errors import ConfigError
from cert_otel.semconv import ProfileName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX: Final = "CERT_OTEL_"
SECRETS: Final = frozenset({"hash_key", "judge_api_key"})
"""Settings that are never shown or logged."""
CAPTURE_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""OpenTelemetry's own switch for message content; there is no second one of ours."""

_CONTENT_ON_SPAN: Final = frozenset({"true", "1", "span_only", "span_and_event"})
_CONTENT_ON_EVENT: Final = frozenset({"event_only", "span_and_event"})
_CONTENT_OFF: Final = frozenset({"", "false", "0", "no_content"})
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


_Positive = msgspec.Meta(gt=0)
_DEVICE: Final = r"^(auto|cpu|mps|cuda(:\d+)?)$"

QuantizationName = Literal["none", "8bit", "4bit"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, with their safe defaults."""

    disabled: bool = False
    """`CERT_OTEL_DISABLED`: install nothing, export nothing."""
    quiet: bool = False
    """`CERT_OTEL_QUIET`: do not print the start-up line."""
    jsonl: Annotated[str, msgspec.Meta(min_length=1)] = "production.jsonl"
    """`CERT_OTEL_JSONL`: where records are appended."""
    jsonl_max_mb: Annotated[float, _Positive] | None = None
    """`CERT_OTEL_JSONL_MAX_MB`: rotate the file when it grows beyond this many megabytes."""
    jsonl_max_files: Annotated[int, _Positive] = 10
    """`CERT_OTEL_JSONL_MAX_FILES`: rotated files that are kept beside the current one."""
    semconv: ProfileName = "compat"
    """`CERT_OTEL_SEMCONV`: which generation of renamed GenAI names is written."""
    request_logprobs: bool = False
    """`CERT_OTEL_REQUEST_LOGPROBS`: ask providers for logprobs. Changes the request."""
    cost_aliases: tuple[str, ...] = ()
    """`CERT_OTEL_COST_ALIASES`: attributes that repeat the cost, comma-separated."""
    prices: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    """`CERT_OTEL_PRICES`: file of prices that go before those of the table."""
    prices_table: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    """`CERT_OTEL_PRICES_TABLE`: the table to use, which `cert prices update` writes."""
    hash_key: str | None = None
    """`CERT_OTEL_HASH_KEY`: secret for pseudonyms and prompt fingerprints."""
    content_max_chars: Annotated[int, _Positive] = 100_000
    """`CERT_OTEL_CONTENT_MAX_CHARS`: each captured text is cut there."""
    redact: str | None = None
    """`CERT_OTEL_REDACT`: a regular expression; what it matches is replaced."""
    scorer_model: str | None = None
    """`CERT_OTEL_SCORER_MODEL`: the model that scores, by its name on the hub or its folder."""
    scorer_device: Annotated[str, msgspec.Meta(pattern=_DEVICE)] = "auto"
    """`CERT_OTEL_SCORER_DEVICE`: where it runs: `auto`, `cuda`, `cuda:N`, `mps` or `cpu`."""
    scorer_quantization: QuantizationName = "none"
    """`CERT_OTEL_SCORER_QUANTIZATION`: weights of `8bit` or `4bit`, or `none`."""
    nli_model: str | None = None
    """`CERT_OTEL_NLI_MODEL`: the model of the evaluator `nli`, by its name on the hub or its folder."""
    nli_label: str | None = None
    """`CERT_OTEL_NLI_LABEL`: its label of support, or of a hallucinated token."""
    judge_url: str | None = None
    """`CERT_OTEL_JUDGE_URL`: endpoint of the evaluator `judge`, up to `/v1`."""
    judge_model: str | None = None
    """`CERT_OTEL_JUDGE_MODEL`: the model that is asked there."""
    judge_api_key: str | None = None
    """`CERT_OTEL_JUDGE_API_KEY`: secret, sent as a bearer token."""
    judge_requests_per_minute: Annotated[int, _Positive] = 60
    """`CERT_OTEL_JUDGE_REQUESTS_PER_MINUTE`: more wait."""
    judge_concurrency: Annotated[int, _Positive] = 4
    """`CERT_OTEL_JUDGE_CONCURRENCY`: requests that are under way at once."""
    redactor: Any = None
    """Only in code: `Callable[[str], str]`, called on each text before it is attached."""
    capture_content: bool = False
    """Content on spans, from OpenTelemetry's own variable."""
    capture_content_events: bool = False
    """Content on `gen_ai.client.inference.operation.details` events, likewise."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Parsed:
        """Read settings; a setting that cannot be used keeps its default.

        Args:
            environ: Usually `os.environ`.

        Returns:
            The settings and the list of what was wrong, one error a setting.
        """
        values: dict[str, Any] = {}
        problems: list[ConfigError] = []
        for variable, text in environ.items():
            if not variable.startswith(PREFIX):
                continue
            field = variable[len(PREFIX) :].lower()
            try:
                values[field] = _parse(variable, field, text)
            except ConfigError as problem:
                problems.append(problem)
                values.pop(field, None)
        try:
            on_span, on_event = _parse_content(environ.get(CAPTURE_CONTENT, ""))
        except ConfigError as problem:
            problems.append(problem)
        else:
            values["capture_content"] = on_span
            values["capture_content_events"] = on_event
        return Parsed(cls(**values), problems)


class Parsed(NamedTuple):
    """Settings, and what was wrong with where they came from."""

    config: Config
    problems: list[ConfigError]


def _parse_bool(variable: str, text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ConfigError(variable, f"{text!r} is neither true nor false")


def _parse_content(text: str) -> tuple[bool, bool]:
    lowered = text.strip().lower()
    if lowered not in _CONTENT_ON_SPAN | _CONTENT_ON_EVENT | _CONTENT_OFF:
        raise ConfigError(
            CAPTURE_CONTENT,
            f"{text!r} is unknown; use NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT",
        )
    return lowered in _CONTENT_ON_SPAN, lowered in _CONTENT_ON_EVENT


def _parse_number(variable: str, text: str, *, whole: bool) -> float:
    try:
        number: float = int(text) if whole else float(text)
    except ValueError:
        kind = "whole number" if whole else "number"
        raise ConfigError(variable, f"{text!r} is not a {kind}") from None
    if not 0 < number < float("inf"):
        raise ConfigError(variable, f"{text!r} must be greater than 0")
    return number


def _parse_profile(variable: str, text: str) -> str:
    if text not in get_args(ProfileName):
        raise ConfigError(variable, f"{text!r} is unknown; use compat, latest or both")
    return text


def _parse_device(variable: str, text: str) -> str:
    if not re.match(_DEVICE, text):
        raise ConfigError(variable, f"{text!r} is unknown; use auto, cuda, cuda:N, mps or cpu")
    return text


def _parse_quantization(variable: str, text: str) -> str:
    if text not in get_args(QuantizationName):
        raise ConfigError(variable, f"{text!r} is unknown; use none, 8bit or 4bit")
    return text


def _parse_regex(variable: str, text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ConfigError(variable, f"not a regular expression: {error}") from None
    return text


def _parse_text(variable: str, text: str) -> str:
    if not text:
        raise ConfigError(variable, "is empty; unset it or give it a value")
    return text


_PARSERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "disabled": _parse_bool,
    "quiet": _parse_bool,
    "jsonl": _parse_text,
    "jsonl_max_mb": lambda variable, text: _parse_number(variable, text, whole=False),
    "jsonl_max_files": lambda variable, text: _parse_number(variable, text, whole=True),
    "semconv": _parse_profile,
    "request_logprobs": _parse_bool,
    "cost_aliases": lambda _, text: tuple(part.strip() for part in text.split(",") if part.strip()),
    "prices": _parse_text,
    "prices_table": _parse_text,
    "hash_key": _parse_text,
    "content_max_chars": lambda variable, text: _parse_number(variable, text, whole=True),
    "redact": _parse_regex,
    "scorer_model": _parse_text,
    "scorer_device": _parse_device,
    "scorer_quantization": _parse_quantization,
    "nli_model": _parse_text,
    "nli_label": _parse_text,
    "judge_url": _parse_text,
    "judge_model": _parse_text,
    "judge_api_key": _parse_text,
    "judge_requests_per_minute": lambda variable, text: _parse_number(variable, text, whole=True),
    "judge_concurrency": lambda variable, text: _parse_number(variable, text, whole=True),
}
"""Settings that the environment can name. The rest of `Config` is set in code."""

VARIABLES: Final = tuple(PREFIX + field.upper() for field in _PARSERS)
"""Every variable that is read, for `cert doctor` and the documentation test."""


def _parse(variable: str, field: str, text: str) -> Any:
    parser = _PARSERS.get(field)
    if parser is None:
        import difflib  # noqa: PLC0415 - half a millisecond, for who mistyped

        # Without the prefix, which would make all names look alike.
        close = difflib.get_close_matches(field, _PARSERS, n=1)
        known = f"known are {', '.join(VARIABLES)}"
        hint = f"; did you mean {PREFIX}{close[0].upper()}?" if close else f"; {known}"
        raise ConfigError(variable, f"unknown setting{hint}")
    return parser(variable, text)


_lock = threading.Lock()
_current: Parsed | None = None
_in_code: dict[str, Any] = {}
_listeners: list[Callable[[Config], None]] = []


def get_config() -> Config:
    """Return the settings in force: the environment, overruled by `configure`."""
    current = _current  # asked at every call: one frame, not two
    return (_get_parsed() if current is None else current).config


def get_problems() -> list[ConfigError]:
    """Return what was wrong with the environment, for the host to raise or warn about."""
    return _get_parsed().problems


def _get_parsed() -> Parsed:
    global _current  # noqa: PLW0603 - one process has one configuration
    if _current is None:
        with _lock:
            if _current is None:
                parsed = Config.from_environ(os.environ)
                config = msgspec.structs.replace(parsed.config, **_in_code)
                _current = Parsed(config, parsed.problems)
    return _current


def configure(**settings: Any) -> Config:
    """Set in code what the environment sets; what is given here wins.

    Args:
        **settings: Fields of `Config`, for instance `jsonl="calls.jsonl"`,
            `capture_content=True` or `redactor=my_function`.

    Returns:
        The settings now in force.

    Raises:
        ConfigError: For an unknown name or a value of the wrong type; nothing changes then.
    """
    global _current  # noqa: PLW0603 - one process has one configuration
    for name in settings:
        if name not in Config.__struct_fields__:
            raise ConfigError(
                name, f"unknown setting; known are {', '.join(Config.__struct_fields__)}"
            )
    candidate = {**_in_code, **settings}
    parsed = Config.from_environ(os.environ)
    merged = {**msgspec.structs.asdict(parsed.config), **candidate}
    try:
        checked = msgspec.convert(
            {name: value for name, value in merged.items() if name != "redactor"}, Config
        )
    except msgspec.ValidationError as error:
        raise ConfigError("configure", str(error)) from None
    _check_values(checked, merged["redactor"])
    config = msgspec.structs.replace(checked, redactor=merged["redactor"])
    with _lock:
        _in_code.update(settings)
        _current = Parsed(config, _current.problems if _current else parsed.problems)
    for listener in tuple(_listeners):
        listener(config)
    return config


def _check_values(config: Config, redactor: Any) -> None:
    """Check what the types of the fields cannot say."""
    _parse_regex("redact", config.redact or "")
    if config.jsonl_max_mb is not None:
        _parse_number("jsonl_max_mb", str(config.jsonl_max_mb), whole=False)
    if redactor is not None and not callable(redactor):
        raise ConfigError("redactor", f"{redactor!r} cannot be called")


def on_change(listener: Callable[[Config], None]) -> None:
    """Call `listener` with the new settings after each `configure`."""
    _listeners.append(listener)


def reset() -> None:
    """Forget what `configure` set and read the environment again; for tests and forks."""
    global _current  # noqa: PLW0603 - one process has one configuration
    with _lock:
        _current = None
        _in_code.clear()
    for listener in tuple(_listeners):
        listener(get_config())
