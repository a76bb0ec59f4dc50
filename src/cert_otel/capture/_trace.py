"""`@trace`: a function of the application as a record of its own."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from opentelemetry.trace import Status, StatusCode, set_span_in_context

from cert_otel import semconv
from cert_otel.capture import _finalisers
from cert_otel.capture._activation import activate, release
from cert_otel.capture._ambient import context_attribute, to_items, without_cost
from cert_otel.capture._attributes import make_exportable
from cert_otel.capture._functions import (
    add_surroundings,
    set_attributes,
    show,
    telemetry,
    to_builtins,
)
from cert_otel.capture._guard import attempt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from cert_otel.capture._ambient import Ambient

_MAX_PIECES: Final = 10_000
"""Pieces of a generator that are remembered: more text than the size cap keeps."""
P = ParamSpec("P")
R = TypeVar("R")


@overload
def trace(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def trace(
    *,
    log_path: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    cost_tracking: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def trace(
    function: Callable[P, R] | None = None,
    /,
    *,
    log_path: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    cost_tracking: bool = True,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Record a function: its arguments, what it returns, and how long it took.

    Serves plain functions, coroutines, generators and asynchronous generators; each keeps its
    kind. A result `{"context": …, "answer": …}` is taken apart; any other result is the
    answer. Decorating is an explicit opt-in: input and output are recorded, redacted and
    capped, whether or not content is captured elsewhere. The model calls inside are records
    of their own: the function has no tokens and no cost, so nothing is counted twice.

    Args:
        function: Given when used without parentheses.
        log_path: Another journal that records of this process are appended to as well.
        metadata: JSON-like, recorded with each call of the function.
        cost_tracking: `False` leaves the cost out of the model calls inside.

    Example:
        ```python
        @cert_otel.trace(metadata={"task_type": "faq"})
        def answer(question: str) -> dict[str, str]: ...
        ```
    """

    def decorate(target: Callable[P, R]) -> Callable[P, R]:
        options = _Options(target, log_path, metadata, cost_tracking=cost_tracking)
        if inspect.isasyncgenfunction(target):
            wrapper: Any = _wrap_async_generator(target, options)
        elif inspect.isgeneratorfunction(target):
            wrapper = _wrap_generator(target, options)
        elif inspect.iscoroutinefunction(target):
            wrapper = _wrap_coroutine(target, options)
        else:
            wrapper = _wrap_function(target, options)
        wrapped: Callable[P, R] = functools.wraps(target)(wrapper)
        return wrapped

    return decorate if function is None else decorate(function)


class _Options:
    """What holds for every call of one decorated function."""

    def __init__(
        self,
        function: Callable[..., Any],
        log_path: str | None,
        metadata: Mapping[str, Any] | None,
        *,
        cost_tracking: bool,
    ) -> None:
        self.name = getattr(function, "__qualname__", repr(function))
        self.log_path = log_path
        self.metadata = metadata
        self.cost_tracking = cost_tracking
        try:
            self.signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):
            self.signature = None


class _FunctionCall:
    """One call of a decorated function; every step is guarded."""

    def __init__(self, options: _Options, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._options = options
        self._span: Span | None = None
        self._context: Context | None = None
        self._is_left = False
        self._pieces: list[Any] = []
        attempt("trace", self._start, args, kwargs)

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        from cert_otel.capture.distro import ensure_started  # noqa: PLC0415 - a cycle

        _finalisers.drain()
        ensure_started(self._options.log_path)
        _finalisers.drain_at_exit()
        attributes: dict[str, Any] = {
            semconv.RECORD_KIND: "function",
            semconv.FUNCTION_NAME: self._options.name,
            semconv.INPUT_DATA: show(_arguments(self._options.signature, args, kwargs)),
        }
        add_surroundings(attributes, self._options.metadata)
        make_exportable(attributes)
        self._span = telemetry.tracer.start_span(self._options.name, attributes=attributes)
        self._context = set_span_in_context(self._span)

    def enter(self) -> tuple[Token[Context] | None, Token[Ambient] | None]:
        """Make the function's span the current one."""
        token = None if self._context is None else activate(self._context)
        return token, None if self._options.cost_tracking else without_cost()

    @staticmethod
    def leave(tokens: tuple[Token[Context] | None, Token[Ambient] | None]) -> None:
        """Undo `enter`."""
        token, ambient = tokens
        if ambient is not None:
            release(ambient)
        if token is not None:
            release(token)

    def keep(self, piece: Any) -> None:
        """Remember what a generator yielded, up to a bound: some never end."""
        if len(self._pieces) < _MAX_PIECES:
            self._pieces.append(piece)

    def drop(self) -> None:
        """Leave the end to `_finalisers`: the function was closed, or let go of."""
        if not self._is_left:
            self._is_left = True
            _finalisers.leave(self)

    def succeed(self, result: Any) -> None:
        """End with what the function returned."""
        if self._span is not None:
            attempt("trace_result", _set_result, self._span, result)
            attempt("trace_end", self._span.end)

    def succeed_with_pieces(self) -> None:
        """End with what the generator yielded."""
        self.succeed(_joined(self._pieces))

    def abandon(self, *, end_ns: int | None = None) -> None:
        """End a function that was closed or let go of before its end."""
        if self._span is not None:
            attempt("trace_result", _set_result, self._span, _joined(self._pieces))
            attempt("trace_end", self._span.set_attribute, semconv.STREAM_OUTCOME, "abandoned")
            attempt("trace_end", self._span.end, end_ns)

    def fail(self, error: BaseException) -> None:
        """End with what the function raised."""
        if self._span is not None and not self._is_left:
            attempt("trace_error", _set_error, self._span, error)
            attempt("trace_end", self._span.end)


def _set_result(span: Span, result: Any) -> None:
    set_attributes(span, _result_attributes(result))


def _set_error(span: Span, error: BaseException) -> None:
    kind = type(error)
    name = kind.__qualname__
    full = name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
    span.set_attribute(semconv.ERROR_TYPE, full)
    span.set_status(Status(StatusCode.ERROR))


def _arguments(
    signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return the arguments by name; a single text stays a text."""
    named: dict[str, Any] = {**{str(i): value for i, value in enumerate(args)}, **kwargs}
    if signature is not None:
        with contextlib.suppress(TypeError):  # the call itself will say so
            named = dict(signature.bind(*args, **kwargs).arguments)
    named.pop("self", None)
    named.pop("cls", None)
    if len(named) == 1 and isinstance(only := next(iter(named.values())), str):
        return only
    return to_builtins(named)


def _result_attributes(result: Any) -> dict[str, Any]:
    if not isinstance(result, Mapping) or "answer" not in result:
        return {semconv.OUTPUT_DATA: None if result is None else show(to_builtins(result))}
    context = result.get("context")
    return {
        semconv.OUTPUT_DATA: show(to_builtins(result["answer"])),
        semconv.CONTEXT: None if not context else context_attribute(to_items(context)),
    }


def _joined(pieces: list[Any]) -> Any:
    """Return what a generator yielded: one text if all are texts, one mapping as it is."""
    if pieces and all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    if pieces and isinstance(pieces[-1], Mapping) and "answer" in pieces[-1]:
        return pieces[-1]
    return pieces


def _wrap_function(function: Callable[..., Any], options: _Options) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = _FunctionCall(options, args, kwargs)
        tokens = call.enter()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            call.leave(tokens)
        call.succeed(result)
        return result

    return wrapper


def _wrap_coroutine(function: Callable[..., Any], options: _Options) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = _FunctionCall(options, args, kwargs)
        tokens = call.enter()
        try:
            result = await function(*args, **kwargs)
        except GeneratorExit:
            call.drop()
            raise
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            call.leave(tokens)
        call.succeed(result)
        return result

    return wrapper


def _wrap_generator(function: Callable[..., Any], options: _Options) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Iterator[Any]:
        call = _FunctionCall(options, args, kwargs)
        generator = function(*args, **kwargs)
        step = functools.partial(next, generator)
        try:
            while True:
                tokens = call.enter()
                try:
                    piece = step()
                except StopIteration as stop:
                    call.succeed_with_pieces()
                    return stop.value  # type: ignore[no-any-return]  # the generator's own
                finally:
                    call.leave(tokens)
                call.keep(piece)
                try:
                    sent = yield piece
                except GeneratorExit:
                    call.drop()
                    return generator.close()  # type: ignore[no-any-return]  # likewise, from Python 3.13 on
                except BaseException as thrown:  # noqa: BLE001 - belongs to the inner generator
                    step = functools.partial(generator.throw, thrown)
                else:
                    step = functools.partial(generator.send, sent)
        except BaseException as error:
            call.fail(error)
            raise

    return wrapper


def _wrap_async_generator(function: Callable[..., Any], options: _Options) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        call = _FunctionCall(options, args, kwargs)
        generator = function(*args, **kwargs)
        step = generator.__anext__
        try:
            while True:
                tokens = call.enter()
                try:
                    piece = await step()
                except StopAsyncIteration:
                    call.succeed_with_pieces()
                    return
                finally:
                    call.leave(tokens)
                call.keep(piece)
                try:
                    sent = yield piece
                except GeneratorExit:
                    call.drop()
                    await generator.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - belongs to the inner generator
                    step = functools.partial(generator.athrow, thrown)
                else:
                    step = functools.partial(generator.asend, sent)
        except GeneratorExit:
            call.drop()
            raise
        except BaseException as error:
            call.fail(error)
            raise

    return wrapper
