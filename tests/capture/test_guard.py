"""Where an error of ours ends: counted each time, logged once, raised never."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from opentelemetry import metrics

from cert_otel.capture import report
from cert_otel.capture._guard import attempt

if TYPE_CHECKING:
    from collections import Counter

    from tests.capture.conftest import Bench

    from cert_otel.testing import MetricCapture


@pytest.fixture
def collected(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> MetricCapture:
    """Be an application that collects metrics."""
    monkeypatch.setattr(
        metrics._internal,  # where the global provider is kept
        "_METER_PROVIDER",
        bench.metrics.meter_provider,
    )
    return bench.metrics


class TestReport:
    def test_logged_once_at_debug(
        self, caplog: pytest.LogCaptureFixture, swallowed: Counter[str]
    ) -> None:
        """The first error of each step has its traceback in the log, later ones are counted."""
        caplog.set_level(logging.DEBUG, "cert_otel.capture")
        for step in ("price", "price", "finish"):
            report(step, ValueError("ours"))

        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("DEBUG", "telemetry step price failed; the call is unaffected"),
            ("DEBUG", "telemetry step finish failed; the call is unaffected"),
        ]
        assert all(record.exc_info for record in caplog.records)
        assert swallowed == {"price": 2, "finish": 1}
        swallowed.clear()

    def test_a_metric(self, collected: MetricCapture, swallowed: Counter[str]) -> None:
        """`cert.instrumentation.errors`, by step and type."""
        report("price", ValueError("ours"))
        report("price", ValueError("ours"))

        assert collected.points() == [
            {
                "name": "cert.instrumentation.errors",
                "unit": "{error}",
                "attributes": {"error.type": "ValueError", "step": "price"},
                "value": 2,
            }
        ]
        swallowed.clear()


class TestAttempt:
    def test_what_works(self) -> None:
        """The function's result is handed on."""
        assert attempt("price", divmod, 7, 2) == (3, 1)

    def test_what_fails(self, swallowed: Counter[str]) -> None:
        """An error is `None`, and counted."""
        assert attempt("price", divmod, 7, 0) is None
        assert swallowed == {"price": 1}
        swallowed.clear()

    def test_what_is_no_error_passes(self) -> None:
        """An interrupt belongs to the application."""

        def interrupt() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            attempt("price", interrupt)
