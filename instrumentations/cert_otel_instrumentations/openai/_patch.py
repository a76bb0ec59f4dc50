"""The two methods that every request of the SDK passes through, watched.

`SyncAPIClient.request` and `AsyncAPIClient.request` see each endpoint with its body as the SDK
serialised it, so nothing of the application's own arguments is touched, and what they return
is what the application gets: a parsed reply, a stream, or a raw response.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import wrapt

from cert_otel import __version__
from cert_otel.capture import (
    Telemetry,
    begin_call,
    read_along,
    report,
    resolve_target,
    watch_stream,
)
from cert_otel_instrumentations.openai._endpoints import find_endpoint
from cert_otel_instrumentations.openai._logprobs import with_logprobs
from cert_otel_instrumentations.openai._options import replace_options, with_watched_parser

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from cert_otel.capture import Call, Target

SCOPE: Final = "cert_otel_instrumentations.openai"
_ORIGINAL: Final = "_cert_otel_original"
_CLASSES: Final = (("SyncAPIClient", False), ("AsyncAPIClient", True))
_installed: Final[dict[type, Callable[..., Any]]] = {}
"""What stands in the place of `request`, by the class."""
_telemetry: Telemetry | None = None
"""`None` while nothing is to be recorded, also where a wrapper of ours could not be taken out."""
_MAX_CLIENTS: Final = 1024
_targets: Final[dict[int, tuple[Any, type, Target]]] = {}
"""Who serves a client, by its id, with the URL and the class that say so.

No weak dictionary, which takes a microsecond to ask. That the URL is the same object proves that
the id is not that of a later client.
"""


def patch(module: ModuleType, **providers: Any) -> None:
    """Watch the clients of `openai._base_client`; again after `unpatch` is fine."""
    global _telemetry  # noqa: PLW0603 - the SDK's classes are global too
    _telemetry = Telemetry(SCOPE, __version__, **providers)
    for name, is_async in _CLASSES:
        client_class = getattr(module, name, None)
        original = getattr(client_class, "request", None)
        if client_class is None or original is None or hasattr(original, _ORIGINAL):
            continue
        watch = _watch_async if is_async else _watch_sync
        client_class.request = _installed[client_class] = watch(original)
        _redirect(client_class, original, client_class.request)


def unpatch(module: ModuleType) -> None:
    """Put the SDK's own methods back; where somebody patched over ours, ours passes on."""
    global _telemetry  # noqa: PLW0603 - the SDK's classes are global too
    _telemetry = None
    for name, _ in _CLASSES:
        client_class: Any = getattr(module, name, None)
        ours = _installed.get(client_class)
        if ours is not None and vars(client_class).get("request") is ours:
            client_class.request = getattr(ours, _ORIGINAL)
            _redirect(client_class, ours, client_class.request)
            del _installed[client_class]


def _redirect(client_class: type, before: Any, after: Any) -> None:
    """Point wrappers that others put on subclasses (OpenInference's on `OpenAI`) at `after`.

    They keep the method that they found when they were made, and would pass us by.
    """
    subclasses: list[type] = client_class.__subclasses__()
    for subclass in subclasses:
        wrapper = vars(subclass).get("request")
        while isinstance(wrapper, wrapt.FunctionWrapper):
            if wrapper.__wrapped__ is before:
                wrapper.__wrapped__ = after
                break
            wrapper = wrapper.__wrapped__
        _redirect(subclass, before, after)


def _watch_sync(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        call, args, kwargs = _begin(self, args, kwargs)
        if call is None:
            return original(self, *args, **kwargs)
        token = call.attach()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            call.detach(token)
            call.fail(error)
            raise
        call.detach(token)
        _hand_over(call, result, is_async=False)
        return result

    setattr(request, _ORIGINAL, original)
    return request


def _watch_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        call, args, kwargs = _begin(self, args, kwargs)
        if call is None:
            return await original(self, *args, **kwargs)
        token = call.attach()
        try:
            result = await original(self, *args, **kwargs)
        except GeneratorExit:
            call.drop(token)
            raise
        except BaseException as error:
            call.detach(token)
            call.fail(error)
            raise
        call.detach(token)
        _hand_over(call, result, is_async=True)
        return result

    setattr(request, _ORIGINAL, original)
    return request


def _begin(
    client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Call | None, tuple[Any, ...], dict[str, Any]]:
    """Begin a call; the arguments come back unchanged but for the options of some."""
    telemetry = _telemetry
    if telemetry is None:
        return None, args, kwargs
    try:
        options = args[1] if len(args) > 1 else kwargs["options"]
        body = options.json_data
        if not isinstance(body, dict):
            body = {}
        model = body.get("model")
        call = begin_call(
            telemetry,
            find_endpoint(options.method, options.url),
            _target_of(client),
            model=model if isinstance(model, str) else None,
            request=body,
            stream=body.get("stream") is True,
        )
    except Exception as error:  # noqa: BLE001 - the guard
        report("begin", error)
        return None, args, kwargs
    if call is None:
        return None, args, kwargs
    try:
        adapted = with_watched_parser(options, call)
        if call.settings.request_logprobs:
            adapted = with_logprobs(adapted, call.endpoint)
        if adapted is not options:
            args, kwargs = replace_options(args, kwargs, adapted)
    except Exception as error:  # noqa: BLE001 - the guard
        report("options", error)
    return call, args, kwargs


def _target_of(client: Any) -> Target:
    url = client._base_url  # noqa: SLF001 - `base_url` builds the same anew at each access
    known = _targets.get(id(client))
    if known is not None and known[0] is url and known[1] is type(client):
        return known[2]
    target = resolve_target(
        type(client), scheme=url.scheme, host=url.host, port=url.port, path=url.path
    )
    if len(_targets) >= _MAX_CLIENTS:
        _targets.clear()
    _targets[id(client)] = (url, type(client), target)
    return target


def _hand_over(call: Call, result: Any, *, is_async: bool) -> None:
    """End the call with its reply, or leave that to the stream that the application reads."""
    try:
        # Not hasattr: it takes 5 µs to learn from a pydantic object that it has neither.
        own = getattr(result, "__dict__", ())
        if "_iterator" in own and "response" in own:
            watch_stream(result, call, is_async=is_async)
        elif "http_response" in own:
            read_along(result.http_response, call, is_async=is_async)
        else:
            call.succeed(result)
    except Exception as error:  # noqa: BLE001 - the guard
        report("hand_over", error)
        call.succeed()
