"""A backend that takes OTLP: a gRPC server on loopback that keeps what it acknowledged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

    import grpc
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

_MAX_BYTES: Final = 64 * 1024 * 1024
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_BYTES),
    # Without it a second server could listen on the same port, and share what comes.
    ("grpc.so_reuseport", 0),
)


class OtlpSink:
    """An OTLP/gRPC backend on 127.0.0.1, for tests and demonstrations.

    It acknowledges traces, logs and metrics and keeps all of them, in memory and in order.

    Args:
        port: 0 takes a free one.

    Example:
        >>> from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        >>> with OtlpSink() as sink:
        ...     provider = TracerProvider(shutdown_on_exit=False)
        ...     provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(sink.url)))
        ...     provider.get_tracer("shop").start_span("ask").end()
        ...     provider.shutdown()
        >>> [span.name for span in sink.list_spans()]
        ['ask']
    """

    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self._server: grpc.Server | None = None
        self._traces: list[Any] = []
        self._logs: list[Any] = []
        self._metrics: list[Any] = []

    @property
    def endpoint(self) -> str:
        """`127.0.0.1:PORT`, as a collector's exporter takes it."""
        if self._server is None:
            raise RuntimeError("The sink is not running: use it in a with block")
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` takes."""
        return f"http://{self.endpoint}"

    def start(self) -> Self:
        """Listen, in threads of its own."""
        import grpc  # noqa: PLC0415 - a tenth of a second, for who opens a sink

        server = grpc.server(ThreadPoolExecutor(4), options=_OPTIONS)
        server.add_generic_rpc_handlers(self._make_handlers())
        self._port = server.add_insecure_port(f"127.0.0.1:{self._port}")
        server.start()
        self._server = server
        return self

    def stop(self) -> None:
        """Go away at once: calls under way fail. What was taken stays."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def list_spans(self) -> list[Span]:
        """Return the spans that came, copies too."""
        return [
            span
            for request in list(self._traces)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def list_events(self) -> list[LogRecord]:
        """Return the log records that came, copies too."""
        return [
            record
            for request in list(self._logs)
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def list_metrics(self) -> list[Metric]:
        """Return the metrics that came, each as often as it was sent."""
        return [
            metric
            for request in list(self._metrics)
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def _make_handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        from opentelemetry.proto.collector.logs.v1 import (  # noqa: PLC0415 - as above
            logs_service_pb2 as logs,
        )
        from opentelemetry.proto.collector.metrics.v1 import (  # noqa: PLC0415 - as above
            metrics_service_pb2 as metrics,
        )
        from opentelemetry.proto.collector.trace.v1 import (  # noqa: PLC0415 - as above
            trace_service_pb2 as traces,
        )

        return (
            _make_handler(traces.ExportTraceServiceRequest, self._traces),
            _make_handler(logs.ExportLogsServiceRequest, self._logs),
            _make_handler(metrics.ExportMetricsServiceRequest, self._metrics),
        )


def _make_handler(request: Any, kept: list[Any]) -> grpc.GenericRpcHandler[Any, Any]:
    """Take the requests of one signal; the empty answer says that all of each was taken."""
    import grpc  # noqa: PLC0415 - as above

    def keep(message: Any, _: grpc.ServicerContext) -> bytes:
        kept.append(message)
        return b""

    export = grpc.unary_unary_rpc_method_handler(keep, request_deserializer=request.FromString)
    package = request.DESCRIPTOR.file.package
    (service,) = request.DESCRIPTOR.file.services_by_name
    return grpc.method_handlers_generic_handler(f"{package}.{service}", {"Export": export})
