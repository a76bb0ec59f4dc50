"""A collector between sinks that stand for the backends and the scorer service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from collector_harness import Chain, Sink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    """otel-collector.yaml with a sink at each end, started."""
    with Sink() as scorer, Sink() as backend, Chain(tmp_path, scorer, backend) as chain:
        chain.collector.start()
        yield chain
