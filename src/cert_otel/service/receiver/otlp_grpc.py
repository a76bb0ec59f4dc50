"""OTLP/gRPC: bytes in, bytes to the inbox; nothing is parsed.

What a collector does with an answer decides what may be answered: it sends again after
UNAVAILABLE and after RESOURCE_EXHAUSTED with RetryInfo, and drops after anything else.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from cert_otel.service.receiver.intake import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cert_otel.service.inbox import Kind
    from cert_otel.service.receiver.counters import Outcome
    from cert_otel.service.receiver.intake import Intake
    from cert_otel.service.security import Tokens

METHODS: Final[Mapping[str, Kind]] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
}
METRICS_METHOD: Final = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
HEALTH_PREFIX: Final = "/grpc.health.v1.Health/"
TENANT: Final = "cert-tenant"
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_CODES: Final[Mapping[Outcome, grpc.StatusCode]] = {
    "full": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "unsupported": grpc.StatusCode.UNIMPLEMENTED,
}
_DONE: Final = frozenset({"accepted", "empty"})
_STREAMS: Final = 32
"""Requests at once on a connection; HTTP/2 makes a sender wait with more."""
_SECOND_MS: Final = 1_000
# Above our limit, so that what is a little too large is refused, and counted, by us.
_MARGIN_BYTES: Final = 2**20

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[Any, Any]
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the stubs only
    Handler = grpc.GenericRpcHandler
    Interceptor = grpc.aio.ServerInterceptor

Context = grpc.aio.ServicerContext[bytes, bytes]
Method = Callable[[bytes, Context], Awaitable[bytes]]


def make_server(intake: Intake, tokens: Tokens, handlers: Sequence[Handler]) -> grpc.aio.Server:
    """Return a server with OTLP and other services, all behind the same tokens."""
    server = grpc.aio.server(
        interceptors=[_Authorization(intake, tokens)] if tokens.are_needed else [],
        options=[
            ("grpc.max_receive_message_length", intake.max_bytes + _MARGIN_BYTES),
            ("grpc.max_concurrent_streams", _STREAMS),
            ("grpc.so_reuseport", 0),  # a second service on the port is an error, not a rival
            ("grpc.server_handshake_timeout_ms", 10 * _SECOND_MS),
            ("grpc.keepalive_time_ms", 30 * _SECOND_MS),
            ("grpc.keepalive_timeout_ms", 10 * _SECOND_MS),
            ("grpc.http2.min_ping_interval_without_data_ms", 5 * _SECOND_MS),
            ("grpc.max_connection_idle_ms", 300 * _SECOND_MS),
            # Whoever sends a byte a minute is cut off; others open the next connection unnoticed.
            ("grpc.max_connection_age_ms", 900 * _SECOND_MS),
            ("grpc.max_connection_age_grace_ms", 60 * _SECOND_MS),
            ("grpc.max_metadata_size", 16 * 1024),
        ],
    )
    server.add_generic_rpc_handlers((OtlpService(intake), *handlers))
    return server


def add_health(server: grpc.aio.Server) -> HealthServicer:
    """Add `grpc.health.v1`, which says SERVING from now on."""
    servicer = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return servicer


async def set_health(servicer: HealthServicer, *, serving: bool) -> None:
    """Say whether requests are taken, for the server and each of its services."""
    kind = health_pb2.HealthCheckResponse
    status = kind.SERVING if serving else kind.NOT_SERVING
    for name in ("", *(method[1:].rpartition("/")[0] for method in METHODS)):
        await servicer.set(name, status)


class OtlpService(Handler):
    """The export methods of OTLP."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._make_export(kind))
            for name, kind in METHODS.items()
        }
        self._handlers[METRICS_METHOD] = grpc.unary_unary_rpc_method_handler(self._refuse_metrics)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the method that is called, if it is one of these."""
        return self._handlers.get(handler_call_details.method)

    def _make_export(self, kind: Kind) -> Method:
        async def export(request: bytes, context: Context) -> bytes:
            tenant = _find_metadata(context.invocation_metadata(), TENANT)
            answer = await self._intake.take("grpc", kind, "protobuf", request, tenant)
            if answer.outcome not in _DONE:
                await abort(context, answer)
            return b""  # an empty response says that all was taken

        return export

    async def _refuse_metrics(self, _: bytes, context: Context) -> bytes:
        answer = Answer("unsupported", "metrics are not scored; send them to another backend")
        self._intake.note("grpc", answer)
        return await abort(context, answer)


class _Authorization(Interceptor):
    """Refuses every call but those for health that brings no token."""

    def __init__(self, intake: Intake, tokens: Tokens) -> None:
        self._intake = intake
        self._tokens = tokens
        self._refusal = grpc.unary_unary_rpc_method_handler(self._refuse)

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Let a call through, or refuse it before its message is read."""
        metadata = handler_call_details.invocation_metadata
        if handler_call_details.method.startswith(HEALTH_PREFIX) or self._tokens.accept(
            _find_metadata(metadata, "authorization")
        ):
            return await continuation(handler_call_details)
        return self._refusal

    async def _refuse(self, _: bytes, context: Context) -> bytes:
        answer = Answer("unauthenticated", "send the header authorization: Bearer TOKEN")
        self._intake.note("grpc", answer)
        return await abort(context, answer)


async def abort(context: Any, answer: Answer) -> NoReturn:
    """End a call with an answer that is no success."""
    code = _CODES[answer.outcome]
    details: tuple[tuple[str, bytes], ...] = ()
    if answer.retry_after_s is not None:
        details = ((_STATUS_DETAILS, encode_status(answer, code.value[0])),)
    await context.abort(code, answer.message, details)
    raise AssertionError("abort raises")


def encode_status(answer: Answer, code: int) -> bytes:
    """Return the `google.rpc.Status` of an answer, with RetryInfo where it says when."""
    status = Status(code=code, message=answer.message)
    if answer.retry_after_s is not None:
        delay = Duration(seconds=math.ceil(answer.retry_after_s))
        packed = AnyMessage()
        packed.Pack(RetryInfo(retry_delay=delay))
        status.details.append(packed)
    encoded: bytes = status.SerializeToString()
    return encoded


def _find_metadata(metadata: Any, name: str) -> str | None:
    for key, value in metadata or ():
        if key == name:
            return value if isinstance(value, str) else value.decode(errors="replace")
    return None
