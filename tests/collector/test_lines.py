"""Lines that certjsonl writes are read by us, and ours by certjsonl: collector/testdata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import make_collector_vectors

from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.reading import read_batch

if TYPE_CHECKING:
    from cert_otel.records import Record

TESTDATA: Final = Path(__file__).parents[2] / "collector" / "testdata"


def read_records(name: str) -> list[Record]:
    """Return the records of a file, and fail on anything else in it."""
    readings = [read_batch(read_line(line)) for line in (TESTDATA / name).read_bytes().splitlines()]
    assert not any(reading.problems or reading.passed for reading in readings)
    return [record for reading in readings for record in reading.records]


class TestSharedLines:
    def test_are_up_to_date(self) -> None:
        """What certjsonl's tests read is what `wire` writes today."""
        assert make_collector_vectors.PATH.read_bytes() == make_collector_vectors.render()

    def test_come_back_from_the_collector(self) -> None:
        """Written by us, read and written by certjsonl, read by us: the same records."""
        sent = read_records("from_wire.jsonl")

        assert read_records("from_certjsonl.jsonl") == sent
        assert len(sent) > 20
