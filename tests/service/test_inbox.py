"""The inbox keeps what it said it has, in order, until it is finished."""

from __future__ import annotations

import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cert_otel.errors import InboxError, InboxFullError
from cert_otel.service.inbox import Inbox, Payload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CAP = 100_000_000


def make_payload(body: bytes = b"spans", **fields: Any) -> Payload:
    """A request of some bytes."""
    defaults: dict[str, Any] = {
        "kind": "traces",
        "encoding": "protobuf",
        "received_ns": time.time_ns(),
    }
    return Payload(body=body, **defaults | fields)


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox.open(tmp_path / "inbox", cap_bytes=CAP) as opened:
        yield opened


def fill(inbox: Inbox, *bodies: bytes) -> list[int]:
    """Append, and wait until all is on disk."""
    return [future.result() for future in [inbox.append(make_payload(body)) for body in bodies]]


def fill_until_refused(inbox: Inbox) -> None:
    """Append until that is refused, for a while at most."""
    for _ in range(200):
        fill(inbox, b"x" * 100_000)
        time.sleep(0.005)


def wait_until_writable(inbox: Inbox) -> None:
    """Wait for the inbox to find out by itself."""
    for _ in range(200):
        if inbox.is_writable:
            return
        time.sleep(0.02)
    pytest.fail("it stays unwritable")


def wait_until_taken(inbox: Inbox) -> None:
    """Append as soon as it is possible again."""
    for _ in range(400):
        try:
            fill(inbox, b"again")
        except InboxError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("nothing is taken any more")


class TestAppend:
    def test_what_comes_out_went_in(self, inbox: Inbox) -> None:
        """A payload is read with every field that it was appended with."""
        payload = make_payload(
            b"\x00\xff", kind="logs", encoding="json", tenant="acme", received_ns=7
        )
        id_ = inbox.append(payload).result()

        (row,) = inbox.read(0, 1_000)
        assert (row.id, row.payload, row.attempts) == (id_, payload, 0)

    def test_in_order(self, inbox: Inbox) -> None:
        """Ids grow in the order of arrival."""
        ids = fill(inbox, b"a", b"b", b"c")

        assert ids == sorted(ids)
        assert [row.payload.body for row in inbox.read(0, 1_000)] == [b"a", b"b", b"c"]

    def test_any_thread(self, inbox: Inbox) -> None:
        """Threads that append at once all get an id of their own."""
        with ThreadPoolExecutor(8) as threads:
            ids = list(threads.map(lambda n: fill(inbox, b"%d" % n)[0], range(64)))

        assert len(set(ids)) == 64
        assert inbox.stats().rows == 64

    def test_the_cap(self, tmp_path: Path) -> None:
        """Four fifths of the cap are taken; what is beyond is refused, and says when to retry."""
        with Inbox.open(tmp_path, cap_bytes=1_000) as inbox:
            fill(inbox, b"x" * 800)
            with pytest.raises(InboxFullError, match="holds 800 bytes, and may take 800") as full:
                inbox.append(make_payload(b"x"))

        assert 1 <= full.value.retry_after_s <= 60

    def test_room_again(self, tmp_path: Path) -> None:
        """What is finished makes room."""
        with Inbox.open(tmp_path, cap_bytes=1_000) as inbox:
            (id_,) = fill(inbox, b"x" * 800)
            inbox.finish(id_)
            while True:
                try:
                    fill(inbox, b"y" * 800)
                except InboxFullError:
                    time.sleep(0.01)
                else:
                    break

            assert [row.payload.body[:1] for row in inbox.read(0, 1_000)] == [b"y"]

    @pytest.mark.usefixtures("inbox")
    def test_one_appender(self, tmp_path: Path) -> None:
        """A second appender is refused, and told what to do."""
        with pytest.raises(InboxError, match="another process receives into it; stop that"):
            Inbox.open(tmp_path / "inbox", cap_bytes=CAP)

    @pytest.mark.usefixtures("inbox")
    def test_consumers_do_not_append(self, tmp_path: Path) -> None:
        """An attached inbox takes nothing."""
        with (
            Inbox.attach(tmp_path / "inbox") as consumer,
            pytest.raises(InboxError, match="consumption only"),
        ):
            consumer.append(make_payload())

    def test_closed(self, tmp_path: Path) -> None:
        """What was offered before the end is kept, what comes after is refused."""
        inbox = Inbox.open(tmp_path, cap_bytes=CAP)
        futures = [inbox.append(make_payload()) for _ in range(20)]
        inbox.close()

        assert len({future.result(timeout=0) for future in futures}) == 20
        with pytest.raises(InboxError, match="is closed"):
            inbox.append(make_payload())

    def test_cancelled(self, inbox: Inbox) -> None:
        """A sender that gave up harms nobody."""
        futures = [inbox.append(make_payload(b"x" * 100_000)) for _ in range(20)]
        kept = [future for future in futures if not future.cancel()]

        assert {future.result() for future in kept} == {row.id for row in inbox.read(0, CAP)}
        assert inbox.append(make_payload()).result() > 0

    def test_disk_full(self, inbox: Inbox) -> None:
        """What cannot be written is not acknowledged, and the next that can be is."""
        assert inbox._committer is not None
        connection = inbox._committer._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(InboxError, match="cannot be written: database or disk is full"):
            fill(inbox, b"x" * 1_000_000)
        failed = not inbox.is_writable
        connection.execute("PRAGMA max_page_count = 1000000")
        wait_until_writable(inbox)

        assert failed
        fill(inbox, b"small")
        assert [row.payload.body for row in inbox.read(0, CAP)] == [b"small"]
        assert inbox.stats().bytes == 5
        assert inbox.get_counters().failures == 1

    def test_a_reader_without_end(
        self, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who reads without end cannot make the log grow without end; then all goes on."""
        monkeypatch.setattr("cert_otel.service._committer._WAL_LIMIT_BYTES", 1_000_000)
        monkeypatch.setattr("cert_otel.service._committer._WAL_WAIT_MS", 1)
        fill(inbox, b"first")
        reader = sqlite3.connect(tmp_path / "inbox" / "inbox.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM payload").fetchall()
        with pytest.raises(InboxError, match="keeps its log from being emptied"):
            fill_until_refused(inbox)
        assert (tmp_path / "inbox" / "inbox.db-wal").stat().st_size < 4_000_000
        reader.close()
        wait_until_taken(inbox)

        assert inbox.read(0, CAP)[0].payload.body == b"first"

    def test_what_cannot_be_stored(self, inbox: Inbox) -> None:
        """A payload that no file can hold is refused, and those after it are taken."""
        with pytest.raises(InboxError, match=r"cannot be written: .*surrogates"):
            inbox.append(make_payload(tenant="\ud800")).result()

        fill(inbox, b"next")
        assert [row.payload.body for row in inbox.read(0, CAP)] == [b"next"]

    def test_owner_only(self, inbox: Inbox, tmp_path: Path) -> None:
        """Nobody else can read what was received."""
        fill(inbox, b"secret")

        assert stat.S_IMODE((tmp_path / "inbox").stat().st_mode) == 0o700
        for path in (tmp_path / "inbox").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_not_an_inbox(self, tmp_path: Path) -> None:
        """A file that is no database is named."""
        (tmp_path / "inbox.db").write_bytes(b"something else, of some length" * 100)

        with pytest.raises(InboxError, match="cannot be opened: file is not a database"):
            Inbox.open(tmp_path, cap_bytes=CAP)


class TestConsumption:
    def test_read_by_size(self, inbox: Inbox) -> None:
        """As much as fits is returned, and at least one."""
        fill(inbox, *[b"x" * 100] * 5)

        assert len(inbox.read(0, 250)) == 2
        assert len(inbox.read(0, 1)) == 1

    def test_read_on(self, inbox: Inbox) -> None:
        """Reading goes on after any id, finished or not."""
        ids = fill(inbox, b"a", b"b", b"c")

        assert [row.id for row in inbox.read(ids[0], 1_000)] == ids[1:]
        assert inbox.read(ids[-1], 1_000) == []

    def test_finished(self, inbox: Inbox) -> None:
        """What is finished is neither read nor counted again, and never comes back."""
        ids = fill(inbox, b"a", b"b", b"c")
        inbox.finish(ids[1])
        inbox.finish(ids[0])

        assert [row.payload.body for row in inbox.read(0, 1_000)] == [b"c"]
        assert inbox.stats().rows == 1

    def test_attempts(self, tmp_path: Path) -> None:
        """Whoever reads sees how often a payload was begun, over restarts, until it is finished."""
        with Inbox.open(tmp_path, cap_bytes=CAP) as inbox:
            first, second = fill(inbox, b"a", b"b")
            inbox.begin([first])
            inbox.begin([first, second])
        with Inbox.open(tmp_path, cap_bytes=CAP) as inbox:
            assert [row.attempts for row in inbox.read(0, 1_000)] == [2, 1]

    def test_another_process(self, inbox: Inbox, tmp_path: Path) -> None:
        """Who attaches sees what is appended, and its finish is the appender's."""
        with Inbox.attach(tmp_path / "inbox") as consumer:
            (id_,) = fill(inbox, b"a")
            assert [row.payload.body for row in consumer.read(0, 1_000)] == [b"a"]
            consumer.finish(id_)

        assert inbox.stats().rows == 0

    def test_attach_first(self, tmp_path: Path) -> None:
        """A consumer may be there before the appender."""
        with Inbox.attach(tmp_path) as consumer, Inbox.open(tmp_path, cap_bytes=CAP) as inbox:
            fill(inbox, b"a")

            assert consumer.stats().rows == 1

    def test_parts(self, tmp_path: Path) -> None:
        """Several consumers see each payload once, between them."""
        with Inbox.open(tmp_path, cap_bytes=CAP, parts=3) as inbox:
            ids = fill(inbox, *[b"x"] * 10)
            seen = []
            for part in range(3):
                with Inbox.attach(tmp_path, part=part, parts=3) as consumer:
                    seen += [row.id for row in consumer.read(0, 1_000)]
                    if part == 1:
                        consumer.finish(ids[-1])
                        assert consumer.stats().rows == 0

            assert sorted(seen) == ids
            assert inbox.stats().rows == sum(id_ % 3 != 1 for id_ in ids)

    def test_another_number_of_parts(self, tmp_path: Path) -> None:
        """What some of three finished is not seen by one alone; what they did not, is."""
        with Inbox.open(tmp_path, cap_bytes=CAP, parts=3) as inbox:
            ids = fill(inbox, *[b"x"] * 9)
            with Inbox.attach(tmp_path, part=0, parts=3) as consumer:
                consumer.finish(ids[-1])
        with Inbox.open(tmp_path, cap_bytes=CAP) as inbox:
            assert [row.id for row in inbox.read(0, 1_000)] == [i for i in ids if i % 3]

    def test_payloads_removed_by_hand(self, tmp_path: Path) -> None:
        """When somebody removes inbox.db alone, what comes then does not pass for finished."""
        with Inbox.open(tmp_path, cap_bytes=CAP) as inbox:
            inbox.finish(fill(inbox, b"a", b"b")[-1])
        (tmp_path / "inbox.db").unlink()
        with Inbox.open(tmp_path, cap_bytes=CAP) as inbox:
            fill(inbox, b"c")

            assert [row.payload.body for row in inbox.read(0, 1_000)] == [b"c"]


class TestDeletion:
    def test_little_by_little(self, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is finished goes in small pieces until nothing is left of it."""
        monkeypatch.setattr("cert_otel.service._committer._DELETED_BYTES", 1_000)
        inbox.finish(fill(inbox, *[b"x" * 600] * 20, b"last")[-2])
        assert inbox._committer is not None
        for _ in range(400):
            if inbox._committer._stored_bytes == 4:
                break
            time.sleep(0.02)

        assert inbox._committer._stored_bytes == 4
        assert [row.payload.body for row in inbox.read(0, CAP)] == [b"last"]

    def test_the_file_shrinks(self, inbox: Inbox) -> None:
        """What is free is given back to the disk."""
        inbox.finish(fill(inbox, *[b"x" * 1_000_000] * 20)[-1])
        assert inbox._committer is not None
        for _ in range(400):
            pages = inbox._reader.execute("PRAGMA page_count").fetchone()[0]
            if pages < 100:
                break
            time.sleep(0.02)

        assert pages < 100


class TestQuarantine:
    def test_kept_with_the_reason(self, inbox: Inbox) -> None:
        """A payload put aside is counted once, whatever follows."""
        (id_,) = fill(inbox, b"garbage")
        inbox.quarantine(id_, "not OTLP: truncated")
        inbox.quarantine(id_, "not OTLP: truncated")
        inbox.finish(id_)

        assert inbox.list_quarantined() == [(id_, "not OTLP: truncated")]
        assert inbox.stats().quarantined == 1
        assert inbox.stats().rows == 0

    def test_room_is_bounded(
        self, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The oldest bodies go when there is no room; their line stays."""
        monkeypatch.setattr("cert_otel.service._progress._QUARANTINE_BYTES", 25)
        for id_ in fill(inbox, *[b"0123456789"] * 4):
            inbox.quarantine(id_, "bad")
        with sqlite3.connect(tmp_path / "inbox" / "progress.db") as reader:
            kept = reader.execute("SELECT body IS NOT NULL, size FROM quarantine").fetchall()
        reader.close()

        assert kept == [(0, 10), (0, 10), (1, 10), (1, 10)]

    @pytest.mark.parametrize("bytes_", [0, 15, 1_000])
    def test_lines_are_bounded(
        self, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, bytes_: int
    ) -> None:
        """Of very many the oldest lines go as well, and all of them stay counted."""
        monkeypatch.setattr("cert_otel.service._progress._QUARANTINE_BYTES", bytes_)
        monkeypatch.setattr("cert_otel.service._progress._QUARANTINE_LINES", 2)
        ids = fill(inbox, *[b"0123456789"] * 5)
        for id_ in ids:
            inbox.quarantine(id_, "bad")

        assert [id_ for id_, _ in inbox.list_quarantined()] == ids[-2:]
        assert inbox.stats().quarantined == 5


class TestStats:
    def test_empty(self, inbox: Inbox) -> None:
        """An empty inbox has no oldest age."""
        stats = inbox.stats()

        assert (stats.rows, stats.bytes, stats.oldest_age_s) == (0, 0, None)

    def test_oldest(self, inbox: Inbox) -> None:
        """The age is that of the oldest that is not finished, and never below 0."""
        now = time.time_ns()
        inbox.append(make_payload(received_ns=now - 60_000_000_000)).result()
        inbox.append(make_payload(received_ns=now + 60_000_000_000)).result()
        first, second = inbox.read(0, 1_000)
        before = inbox.stats().oldest_age_s
        inbox.finish(first.id)

        assert second.payload.received_ns > now
        assert before is not None
        assert before >= 60
        assert inbox.stats().oldest_age_s == 0.0


class InboxMachine(RuleBasedStateMachine):
    """Any order of calls and restarts against a list."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile  # noqa: PLC0415 - a fixture cannot reach a state machine

        self.directory = tempfile.TemporaryDirectory()
        self.inbox = Inbox.open(self.directory.name, cap_bytes=CAP)
        self.alive: dict[int, tuple[bytes, int]] = {}
        self.greatest = 0

    @rule(bodies=st.lists(st.binary(max_size=50_000), min_size=1, max_size=5))
    def append(self, bodies: list[bytes]) -> None:
        """On disk when it returns."""
        for id_, body in zip(fill(self.inbox, *bodies), bodies, strict=True):
            assert id_ > self.greatest
            self.greatest = id_
            self.alive[id_] = (body, 0)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Count attempts."""
        ids = data.draw(st.sets(st.sampled_from(sorted(self.alive)), min_size=1))
        self.inbox.begin(ids)
        for id_ in ids:
            body, attempts = self.alive[id_]
            self.alive[id_] = (body, attempts + 1)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Forget the first ones."""
        through = data.draw(st.sampled_from(sorted(self.alive)))
        self.inbox.finish(through)
        self.alive = {id_: row for id_, row in self.alive.items() if id_ > through}

    @rule()
    def restart(self) -> None:
        """As after an update."""
        self.inbox.close()
        self.inbox = Inbox.open(self.directory.name, cap_bytes=CAP)

    @invariant()
    def the_same(self) -> None:
        """What is read and counted is what is alive."""
        rows = {row.id: (row.payload.body, row.attempts) for row in self.inbox.read(0, CAP)}
        stats = self.inbox.stats()
        assert rows == self.alive
        assert stats.rows == len(rows)
        assert stats.bytes == sum(len(body) for body, _ in rows.values())

    def teardown(self) -> None:
        """Leave nothing."""
        self.inbox.close()
        self.directory.cleanup()


TestAnyOrder = InboxMachine.TestCase
TestAnyOrder.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
