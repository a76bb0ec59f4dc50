"""The pure parts of the worker: selection of any dialect, sampling, batches, the trail's reader."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.service.spans import make_call, make_retrieval
from wire_strategies import records

from cert_otel.errors import ConfigError
from cert_otel.records import Evaluation, Trajectory
from cert_otel.service import failpoints, trail
from cert_otel.service.batches import estimate_tokens, make_batches
from cert_otel.service.judging import Case
from cert_otel.service.limits import Limits
from cert_otel.service.recent import RecentDetails, RecentSources
from cert_otel.service.sampling import is_sampled
from cert_otel.service.selection import NO_START, make_key, read_payload, select
from cert_otel.service.sink import Sink, encode
from cert_otel.service.trail import Origin, Position
from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.otlp_write import encode_line, encode_traces
from cert_otel.wire.reading import read_batch

if TYPE_CHECKING:
    from cert_otel.records import Record

GOLDEN: Final = Path(__file__).parents[1] / "wire" / "golden"
FILES: Final = sorted(path for path in GOLDEN.rglob("*.jsonl"))
NOW: Final = datetime(2026, 11, 20, tzinfo=UTC)


class TestSelect:
    @pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
    def test_every_dialect(self, path: Path) -> None:
        """What instrumentations really emit is selected as the readers of files select it."""
        for line in path.read_bytes().splitlines():
            found = select(read_payload("traces", "json", line), NOW)

            expected = read_batch(read_line(line))
            assert [one.record.span_id for one in found.spans] == [
                record.span_id for record in expected.records
            ]
            assert (len(found.details), found.passed) == (len(expected.details), expected.passed)

    @given(record=records())
    def test_a_copy_has_the_same_key_whatever_carried_it(self, record: Record) -> None:
        """In protobuf or in JSON it is the same span."""
        by_json = select(read_payload("traces", "json", encode_line(record)), NOW)
        by_protobuf = select(read_payload("traces", "protobuf", encode_traces([record])), NOW)

        assert [one.key for one in by_json.spans] == [one.key for one in by_protobuf.spans]

    def test_what_certscore_set_makes_no_other_span(self) -> None:
        """A span that comes again with its scores on it is a copy."""
        plain = make_call(1)
        scored = make_call(
            1,
            score_status="scored",
            scorer="m",
            confidence=0.9,
            passed=True,
            trajectory=Trajectory(perplexity=2.0),
            evaluations=[Evaluation(name="grounding", score=0.5)],
            metadata={"cert.hamiltonian.kinetic": 0.5},
        )
        keys = {
            select(read_payload("traces", "protobuf", encode_traces([one])), NOW).spans[0].key
            for one in (plain, scored)
        }

        assert make_key(plain) == make_key(scored)
        assert len(keys) == 1

    def test_a_span_without_a_start_is_known_again(self) -> None:
        """Its time is that of its arrival, which is another for each copy: it is not in the key."""
        line = encode_line(make_call(1)).replace(b'"startTimeUnixNano"', b'"noTime"')
        first, second = (
            select(read_payload("traces", "json", line), at).spans[0]
            for at in (NOW, NOW + timedelta(minutes=1))
        )

        assert first.problem == NO_START
        assert first.record.timestamp != second.record.timestamp
        assert first.key == second.key

    def test_another_answer_is_another_span(self) -> None:
        """Content is part of the key."""
        assert make_key(make_call(1)) != make_key(make_call(1, output_data="No."))


class TestSampling:
    @given(
        trace=st.integers(0, 2**128 - 1),
        shares=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    )
    def test_a_smaller_share_is_part_of_a_larger_one(self, trace: int, shares: list[float]) -> None:
        """Whoever samples before us by the same rule loses nothing of what we keep."""
        smaller, larger = shares

        if is_sampled(f"{trace:032x}", smaller):
            assert is_sampled(f"{trace:032x}", larger)

    def test_the_share_is_the_share(self) -> None:
        """Of evenly spread ids the share is kept."""
        ids = [f"{number << 48:032x}" for number in range(256)]

        kept = sum(is_sampled(trace, 0.25) for trace in ids)

        assert kept == 64

    @pytest.mark.parametrize(("share", "kept"), [(0.0, False), (1.0, True)])
    def test_nothing_and_everything(self, share: float, *, kept: bool) -> None:
        """0 keeps no trace, 1 all."""
        assert is_sampled("f" * 32, share) is kept
        assert is_sampled("0" * 32, share) is kept


class TestBatches:
    @given(
        lengths=st.lists(st.integers(0, 5_000), max_size=40),
        limits=st.builds(Limits, st.integers(1, 9), st.integers(1, 2_000)),
    )
    def test_every_case_is_in_one_batch(self, lengths: list[int], limits: Limits) -> None:
        """Batches are sorted by length, and within the limits unless one case alone is not."""
        cases = [Case(make_call(n, output_data="x" * size)) for n, size in enumerate(lengths)]
        tokens = [estimate_tokens(case) for case in cases]

        batches = list(make_batches(cases, limits))

        order = [index for batch in batches for index in batch]
        assert sorted(order) == list(range(len(cases)))
        assert [tokens[index] for index in order] == sorted(tokens)
        assert all(len(batch) <= limits.records for batch in batches)
        assert all(
            len(batch) == 1 or sum(tokens[index] for index in batch) <= limits.tokens
            for batch in batches
        )


class TestRecentSources:
    def test_what_is_too_old_is_let_go(self) -> None:
        """A passage waits for the window, not longer."""
        sources = RecentSources(10)
        sources.add([make_retrieval(1, "Two.")], 100.0)
        call = make_call(1)

        assert [len(own) for own in sources.find([call]).values()] == [1]
        sources.add([], 111.0)
        assert sources.find([call]) == {}

    def test_no_more_than_so_many(self) -> None:
        """Memory has an end: the oldest go first."""
        sources = RecentSources(10, max_records=2)
        sources.add([make_retrieval(number, "Two.") for number in range(3)], 100.0)

        found = [bool(sources.find([make_call(number)])) for number in range(3)]
        assert found == [False, True, True]


class TestRecentDetails:
    def test_messages_in_an_event_before_the_span(self) -> None:
        """What an instrumentor put into a log event is joined to its span."""
        folder = GOLDEN / "genai-openai-events"
        logs = [
            log
            for line in (folder / "logs.jsonl").read_bytes().splitlines()
            for log in select(read_payload("logs", "json", line), NOW).details
        ]
        spans = [
            one.record
            for path in folder.glob("*.jsonl")
            if path.name != "logs.jsonl"
            for line in path.read_bytes().splitlines()
            for one in select(read_payload("traces", "json", line), NOW).spans
        ]
        details = RecentDetails(10)
        details.add(logs, 100.0)

        completed = [details.complete(record) for record in spans]

        assert spans
        assert not any(record.output_messages for record in spans)
        assert any(record.output_messages for record in completed)

    def test_no_more_than_so_many(self) -> None:
        """Memory has an end, however many events come within the window."""
        lines = (GOLDEN / "genai-openai-events" / "logs.jsonl").read_bytes().splitlines()
        (event, *_) = select(read_payload("logs", "json", lines[0]), NOW).details
        call = make_call(1, trace_id=event.trace_id, span_id=event.span_id, output_data=None)
        other = msgspec.structs.replace(event, span_id="f" * 16)
        details = RecentDetails(10, max_events=1)

        found = []
        for one in (event, other, other):
            details.add([one], 100.0)
            found.append(details.complete(call) != call)

        assert found == [True, True, False]


class TestTrail:
    def test_reading_on_over_segments(self, tmp_path: Path) -> None:
        """Every line comes once, in order, across segments; half a line does not come."""
        trail.get_path(tmp_path, 1).write_bytes(b'{"n":1}\n{"n":2}\n')
        trail.get_path(tmp_path, 3).write_bytes(b'{"n":3}\n{"n":')
        position, lines = Position(), []
        while (chunk := trail.read_chunk(tmp_path, position, max_bytes=4)).lines:
            lines += chunk.lines
            position = chunk.end

        assert [json.loads(line)["n"] for line in lines] == [1, 2, 3]
        assert trail.count_bytes_after(tmp_path, position) == len(b'{"n":')

    def test_records_of_a_row(self, tmp_path: Path) -> None:
        """They are found in whatever segment they are, and no text in a record is taken for them."""
        with Sink(tmp_path, segment_bytes=2_000, reserve_bytes=0) as sink:
            for row in range(1, 40):
                answer = f'",origin":[{row + 1},0,"'
                metadata = {"x": 1, "origin": [row + 1, 0, "0"]}
                call = make_call(row, output_data=answer, metadata=metadata)
                sink.append([encode(call, Origin(row, n, "ab", "r")) for n in (1, 0)])

        assert len(trail.list_segments(tmp_path)) > 20
        for row in range(41):
            found = [
                (origin.span, json.loads(line)["origin"][0])
                for origin, line in trail.find_records(tmp_path, row)
            ]
            assert found == ([(1, row), (0, row)] if 0 < row < 40 else [])

    def test_nothing_there(self, tmp_path: Path) -> None:
        """A trail that is empty, or that nobody has begun, has no records and an end."""
        assert list(trail.find_records(tmp_path / "none", 1)) == []
        trail.get_path(tmp_path, 1).touch()
        assert list(trail.find_records(tmp_path, 1)) == []
        assert trail.find_end(tmp_path) == Position(1, 0)

    def test_the_end_is_behind_a_whole_line(self, tmp_path: Path) -> None:
        """Who follows from the end on sees the line that is being written, whole."""
        trail.get_path(tmp_path, 1).write_bytes(b'{"n":1}\n{"n":')

        assert trail.find_end(tmp_path) == Position(1, 8)

    @given(
        lines=st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"") + b"\n"))
    )
    def test_backwards_is_forwards_reversed(
        self, tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
    ) -> None:
        """The last line comes first, whatever is in them."""
        directory = tmp_path_factory.mktemp("trail")
        trail.get_path(directory, 1).write_bytes(b"".join(lines))

        assert list(trail.read_backwards(directory)) == lines[::-1]


class TestFailpoints:
    @pytest.mark.parametrize("text", ["nowhere:kill", "after_claim", "after_claim:sleep", ":"])
    def test_what_is_none(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        """A typing error is no silence: a test that kills nobody would pass."""
        monkeypatch.setenv(failpoints.VARIABLE, text)

        with pytest.raises(ConfigError, match="points are"):
            failpoints.reach("after_claim")

    def test_only_the_named_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The third time is not the first."""
        monkeypatch.setenv(failpoints.VARIABLE, "after_delivery:raise:3")
        monkeypatch.setattr(failpoints, "_passed", {})

        failpoints.reach("after_delivery")
        failpoints.reach("after_delivery")
        with pytest.raises(OSError, match="no space left"):
            failpoints.reach("after_delivery")
