"""What stands beside OTLP in the receiver's process: the scorer RPC and the JSON API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cert_otel.service.api import make_application
from cert_otel.service.metrics import Metrics
from cert_otel.service.receiver.http_server import HttpServer, bind
from cert_otel.service.scorer_rpc import ScorerService

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from cert_otel.service.inbox import Inbox
    from cert_otel.service.receiver.intake import Intake
    from cert_otel.service.receiver.otlp_grpc import Handler
    from cert_otel.service.security import Tokens
    from cert_otel.service.settings import Settings


class Endpoints:
    """An `Extension` of the receiver."""

    def __init__(self, settings: Settings, *, parts: int = 1) -> None:
        """Set up; nothing listens yet."""
        self._settings = settings
        self._parts = parts

    def make_handlers(self, intake: Intake, inbox: Inbox) -> Sequence[Handler]:
        """Return `cert.scorer.v1.Scorer`."""
        return [ScorerService(self._settings, intake, inbox, parts=self._parts).make_handler()]

    def make_servers(self, tokens: Tokens, context: ssl.SSLContext | None) -> Sequence[HttpServer]:
        """Return the server of the JSON API, where it is enabled."""
        api = self._settings.api
        if not api.enabled:
            return []
        listener = bind(api.endpoint, setting="api.endpoint")
        application = make_application(self._settings, tokens, Metrics())
        return [HttpServer(application, listener=listener, context=context)]
