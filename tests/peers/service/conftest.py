"""What needs a program by others that is not here is left out, and said; `make test-peers` fails instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from peer_harness import CertServe
from peer_programs import PEERS
from tests.service.conftest import make_settings, receiver, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["make_settings", "receiver", "start"]  # fixtures: a receiver in this process

SLOW: Final = ("jaeger", "phoenix")
"""Take minutes to install: for `make test-peers` alone."""
MISSING: Final = [name for name, peer in PEERS.items() if name not in SLOW and peer.find() is None]

# A file that is named on the command line is collected all the same.
collect_ignore = [f"test_{name}.py" for name in (*SLOW, *MISSING)]


def pytest_report_header() -> list[str]:
    """Say what is left out, and how to have it."""
    return [f"left out: tests with {name}: {PEERS[name].advice}" for name in MISSING]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[CertServe]:
    """Return `cert serve`, not started."""
    with CertServe(tmp_path) as service:
        yield service
