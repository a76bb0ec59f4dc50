"""What is generated from collector/proto is what is checked in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cert_otel.service.proto import scorer_pb2

ROOT = Path(__file__).parents[2]


class TestGeneratedCode:
    def test_regenerating_changes_nothing(self) -> None:
        """The Python, and the Go where Go is, are those of the .proto file."""
        script = ROOT / "scripts" / "generate_proto.py"
        done = subprocess.run(
            [sys.executable, script, "--check"], capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stderr

    def test_missing_figures_stay_missing(self) -> None:
        """A perplexity that was not measured is absent after the wire, not zero."""
        sent = scorer_pb2.SpanScore(status=scorer_pb2.STATUS_SCORED, entropy_mean=0.0)

        received = scorer_pb2.SpanScore.FromString(sent.SerializeToString())

        assert received.HasField("entropy_mean")
        assert not received.HasField("perplexity")
