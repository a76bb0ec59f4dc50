"""The marks that certscore goes by are those of the readers: collector/testdata/marks.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from cert_otel.wire import dialects
from cert_otel.wire._record import MARKERS
from cert_otel.wire.dialects import _logfire, _openllmetry
from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.reading import read_batch

VECTORS: Final = Path(__file__).parents[2] / "collector" / "testdata" / "marks.json"
SPANS: Final[list[dict[str, Any]]] = json.loads(VECTORS.read_text(encoding="utf-8"))["spans"]
ALONE: Final = {vector["attributes"][0] for vector in SPANS if len(vector["attributes"]) == 1}


def make_line(names: list[str]) -> bytes:
    """Return a line of OTLP JSON with one span that has these attributes."""
    attributes = [{"key": name, "value": {"stringValue": "x"}} for name in names]
    span = {
        "traceId": "0" * 31 + "1",
        "spanId": "0" * 15 + "1",
        "name": "span",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": attributes,
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


class TestMarks:
    @pytest.mark.parametrize("vector", SPANS, ids=lambda vector: "+".join(vector["attributes"]))
    def test_readers_agree(self, vector: dict[str, Any]) -> None:
        """A span that tells of a model by the vector does so to the readers, and no other."""
        reading = read_batch(read_line(make_line(vector["attributes"])))

        assert (reading.passed == 0) is vector["model"]

    @pytest.mark.parametrize("name", sorted({*MARKERS, *_openllmetry.NAMES, *_logfire.AGENT_NAMES}))
    def test_every_name_has_a_vector(self, name: str) -> None:
        """A name that the readers learn is one that the vectors have."""
        assert name in ALONE

    @pytest.mark.parametrize("prefix", dialects._OI_PREFIXES)
    def test_every_prefix_has_a_vector(self, prefix: str) -> None:
        """Likewise the beginnings of names."""
        assert any(name.startswith(prefix) and name != prefix.rstrip(".") for name in ALONE)

    def test_the_dialects_are_those_that_were_looked_at(self) -> None:
        """A dialect that is added needs its marks in the vectors and in marks.go."""
        named = [dialect for dialect, _, _ in dialects._DIALECTS if dialect is not None]

        assert named == ["vercel-ai", "openinference", "openllmetry", "openlit", "logfire"]
