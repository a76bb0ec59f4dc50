"""OTLP in: by gRPC and HTTP, into the inbox, acknowledged once it is on disk.

This process never imports torch: whatever a model does to its own process, this one answers.
"""

from cert_otel.service.receiver.process import Receiver, serve

__all__ = ["Receiver", "serve"]
