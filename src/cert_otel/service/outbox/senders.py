"""How results leave by OTLP over gRPC, and how any backend refuses them. Blocking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import grpc

from cert_otel.errors import CertOtelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

TIMEOUT_S: Final = 20.0
EVENTS: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
SPANS: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS: Final = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
_REJECTED: Final = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})
_TOO_LARGE: Final = "larger than max"
"""In what gRPC for Python, Go and C++ say of a message beyond the receiver's limit, often 4 MiB."""


class UnavailableError(CertOtelError):
    """The backend did not take it and may later: nothing moves until it does."""

    severity = "medium"

    def __init__(self, destination: str, problem: str) -> None:
        super().__init__(f"{destination}: {problem}")
        self.problem = problem


class RejectedError(CertOtelError):
    """The backend will never take this: it says that the content is wrong."""

    def __init__(self, destination: str, problem: str) -> None:
        super().__init__(f"{destination}: {problem}")
        self.problem = problem


class OtlpSender:
    """One method of an OTLP/gRPC endpoint."""

    def __init__(
        self, endpoint: str, method: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Set up; nothing is connected before something is sent.

        Args:
            endpoint: `http://host:port`, or `https://…` for TLS.
            method: Full name of the gRPC method.
            headers: Sent along.
        """
        url = urlsplit(endpoint)
        self._name = endpoint
        self._channel = (
            grpc.secure_channel(url.netloc, grpc.ssl_channel_credentials())
            if url.scheme == "https"
            else grpc.insecure_channel(url.netloc or endpoint)
        )
        self._call = self._channel.unary_unary(method, _encode, bytes)
        self._metadata = tuple((name.lower(), value) for name, value in (headers or {}).items())

    def send(self, message: Message) -> None:
        """Send a message, and return when it was taken.

        Raises:
            UnavailableError: It was not.
            RejectedError: It never will be.
        """
        try:
            self._call(message, timeout=TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            code: Any = error.code()
            kind = RejectedError if _is_final(code, error.details() or "") else UnavailableError
            raise kind(self._name, code.name) from None

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def _is_final(code: grpc.StatusCode, details: str) -> bool:
    is_too_large = code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in details
    return code in _REJECTED or is_too_large


def _encode(message: Message) -> bytes:
    return message.SerializeToString()
