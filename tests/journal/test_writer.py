"""Lines appended to one file by many."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cert_otel.journal import Appended, JSONLWriter, find_journal_files
from cert_otel.testing import FixedClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROCESSES = 8


def run_all(program: str, *arguments: object, count: int = 1) -> list[Any]:
    """Run `program` in `count` processes at once; each gets its number and prints JSON."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(number), *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * count
    return [json.loads(output) for output in outputs]


def numbered(count: int, *, writer: int = 0, size: int = 100) -> list[bytes]:
    return [
        json.dumps({"writer": writer, "number": number, "text": "x" * size}).encode() + b"\n"
        for number in range(count)
    ]


def read_numbers(path: Path) -> list[tuple[int, int]]:
    """Return (writer, number) of every line; a torn line makes this fail."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
    return [(line["writer"], line["number"]) for line in lines]


def find_numbers(path: Path) -> Iterator[tuple[int, int]]:
    """Yield (writer, number) of every line that is whole."""
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            yield found["writer"], found["number"]


class DeletedUnderneath(JSONLWriter):
    """A writer whose file is deleted between opening and writing, the first `times` times."""

    times = 1

    def _open(self) -> int:
        fd = super()._open()
        if self.times:
            self.times -= 1
            self.path.unlink()
        return fd


class TestAppend:
    def test_lines_in_order(self, tmp_path: Path) -> None:
        """Lines stand in the file as they were given."""
        writer = JSONLWriter(tmp_path / "a.jsonl")

        assert writer.append([b"1\n", b"2\n"]) == Appended(0, None)
        assert writer.append([b"3\n"]) == Appended(0, None)
        assert writer.append([]) == Appended(0, None)
        assert writer.path.read_bytes() == b"1\n2\n3\n"

    def test_nothing_to_write_makes_no_file(self, tmp_path: Path) -> None:
        """A process that records nothing leaves nothing."""
        JSONLWriter(tmp_path / "a.jsonl").append([])

        assert list(tmp_path.iterdir()) == []

    def test_the_path_stays_where_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A relative path is taken from the directory in which the writer was made."""
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path)
        writer = JSONLWriter("a.jsonl")
        monkeypatch.chdir(tmp_path / "elsewhere")
        writer.append([b"1\n"])

        assert (tmp_path / "a.jsonl").read_bytes() == b"1\n"

    def test_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tilde is the home directory, as in a shell."""
        monkeypatch.setenv("HOME", str(tmp_path))

        assert JSONLWriter("~/a.jsonl").path == tmp_path / "a.jsonl"

    def test_no_current_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A working directory that was deleted costs records, not the application."""
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()

        lost, error = JSONLWriter("a.jsonl").append([b"1\n"])

        assert lost == 1
        assert isinstance(error, FileNotFoundError)


class TestRights:
    def test_owner_only(self, tmp_path: Path) -> None:
        """What is created is for its owner only, directories included."""
        path = tmp_path / "one" / "two" / "a.jsonl"
        JSONLWriter(path).append([b"1\n"])

        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700

    def test_existing_rights_are_left(self, tmp_path: Path) -> None:
        """The rights of a file that is there are its owner's decision."""
        path = tmp_path / "a.jsonl"
        path.touch()
        path.chmod(0o644)
        JSONLWriter(path).append([b"1\n"])

        assert stat.S_IMODE(path.stat().st_mode) == 0o644


class TestUnwritable:
    def test_a_file_for_a_directory(self, tmp_path: Path) -> None:
        """A path through a file is an error with a count, and the next batch is tried again."""
        (tmp_path / "file").touch()
        writer = JSONLWriter(tmp_path / "file" / "a.jsonl")

        lost, error = writer.append([b"1\n", b"2\n"])

        assert lost == 2
        assert isinstance(error, NotADirectoryError)

        (tmp_path / "file").unlink()

        assert writer.append([b"3\n"]) == Appended(0, None)

    def test_a_named_pipe_is_refused(self, tmp_path: Path) -> None:
        """A pipe would block, or tear lines: it is refused at once, reader or none."""
        os.mkfifo(tmp_path / "pipe")

        lost, error = JSONLWriter(tmp_path / "pipe").append([b"1\n"])

        assert lost == 1
        assert error is not None
        assert error.strerror == "not a regular file"

    def test_a_deleted_directory_comes_back(self, tmp_path: Path) -> None:
        """A directory that is removed while the program runs is made again; nothing is lost."""
        writer = JSONLWriter(tmp_path / "logs" / "a.jsonl")
        writer.append([b"1\n"])
        writer.path.unlink()
        writer.path.parent.rmdir()

        assert writer.append([b"2\n"]) == Appended(0, None)
        assert writer.path.read_bytes() == b"2\n"

    def test_deleted_between_open_and_write(self, tmp_path: Path) -> None:
        """A batch that went into a deleted file is written once more."""
        writer = DeletedUnderneath(tmp_path / "a.jsonl")

        assert writer.append([b"1\n", b"2\n"]) == Appended(0, None)
        assert writer.path.read_bytes() == b"1\n2\n"

    def test_deleted_for_ever(self, tmp_path: Path) -> None:
        """Where the file is gone each time, the attempt ends and the loss is told."""
        writer = DeletedUnderneath(tmp_path / "a.jsonl")
        writer.times = 1000

        lost, error = writer.append([b"1\n", b"2\n"])

        assert lost == 2
        assert error is not None
        assert error.strerror == "cut short again and again"


class TestTornLines:
    def test_a_torn_line_takes_none_along(self, tmp_path: Path) -> None:
        """A line glued to one whose writer was killed is written once more, whole."""
        path = tmp_path / "a.jsonl"
        path.write_bytes(b'{"number": 0}\n{"numb')

        assert JSONLWriter(path).append([b"1\n", b"2\n"]) == Appended(0, None)
        assert path.read_bytes() == b'{"number": 0}\n{"numb1\n2\n1\n'

    def test_a_full_disk_leaves_whole_lines(self, tmp_path: Path) -> None:
        """What fits is kept, the torn piece becomes an empty line, the rest is counted."""
        (outcome,) = run_all(_FULL_DISK, tmp_path / "a.jsonl")
        content = (tmp_path / "a.jsonl").read_bytes()

        assert outcome == {"during": [7, "EFBIG"], "again": [10, "EFBIG"], "after": [0, None]}
        # 3 lines of 100 bytes, 50 that were torn, and 10 lines once there was room again.
        assert content == b"1" * 99 + b"\n" + b"2" * 99 + b"\n" + b"3" * 99 + b"\n" + (
            b" " * 49 + b"\n"
        ) + b"".join(bytes([char]) * 99 + b"\n" for char in b"abcdefghij")

    def test_others_behind_the_torn_piece(self, tmp_path: Path) -> None:
        """Eight writers on a full disk: every line they were promised is there, and whole."""
        path = tmp_path / "a.jsonl"
        outcomes = run_all(_FULL_DISK_RACE, path, count=PROCESSES)
        found = read_numbers(path)

        kept = {(number, line) for number, lines in enumerate(outcomes) for line in lines}
        assert 0 < len(kept) < PROCESSES * 400
        assert kept <= set(found)


_FULL_DISK = """
import errno, json, resource, sys
from cert_otel.journal import JSONLWriter

writer = JSONLWriter(sys.argv[2])
lines = [bytes([char]) * 99 + b"\\n" for char in b"1234567890"]

def append(lines):
    lost, error = writer.append(lines)
    return [lost, error and errno.errorcode[error.errno]]

# A limit on the size of files cuts a write short and then refuses it, as a full disk does.
resource.setrlimit(resource.RLIMIT_FSIZE, (350, resource.RLIM_INFINITY))
during, again = append(lines), append(lines)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
after = append([bytes([char]) * 99 + b"\\n" for char in b"abcdefghij"])
print(json.dumps({"during": during, "again": again, "after": after}))
"""

_FULL_DISK_RACE = """
import json, resource, sys
from cert_otel.journal import JSONLWriter

number, path = int(sys.argv[1]), sys.argv[2]
writer = JSONLWriter(path)
# Each has its own end of the disk, so that some are cut short while others append behind them.
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000 + 9_973 * number, resource.RLIM_INFINITY))
kept = []
for start in range(0, 400, 8):
    lines = [
        json.dumps({"writer": number, "number": line, "text": "x" * (40 + line)}).encode() + b"\\n"
        for line in range(start, start + 8)
    ]
    lost, error = writer.append(lines)
    kept += range(start, start + 8 - lost)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(json.dumps(kept))
"""


class TestManyProcesses:
    def test_no_line_is_torn_and_none_is_lost(self, tmp_path: Path) -> None:
        """Eight processes append a few hundred batches of unlike sizes; all lines are there."""
        path = tmp_path / "a.jsonl"
        outcomes = run_all(_MANY_BATCHES, path, "none", count=PROCESSES)
        found = read_numbers(path)

        assert outcomes == [0] * PROCESSES
        assert len(found) == PROCESSES * 3000
        for writer in range(PROCESSES):
            assert [n for w, n in found if w == writer] == list(range(3000))

    def test_rotation_loses_nothing(self, tmp_path: Path) -> None:
        """While all of them rotate the file under each other, every line ends in one of them."""
        path = tmp_path / "a.jsonl"
        outcomes = run_all(_MANY_BATCHES, path, "0.1", count=PROCESSES)
        files = find_journal_files(path)
        found = [pair for file in files for pair in read_numbers(file)]

        assert outcomes == [0] * PROCESSES
        assert len(files) > 10
        assert sorted(found) == [(w, n) for w in range(PROCESSES) for n in range(3000)]

    def test_threads(self, tmp_path: Path) -> None:
        """Threads share a writer as processes share a file."""
        writer = JSONLWriter(tmp_path / "a.jsonl")

        def append(number: int) -> None:
            for line in numbered(200, writer=number):
                writer.append([line])

        threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(read_numbers(writer.path)) == [(w, n) for w in range(4) for n in range(200)]

    def test_a_killed_writer(self, tmp_path: Path) -> None:
        """Writers that are killed at any moment cost no line of those that live on."""
        path = tmp_path / "a.jsonl"
        command = [sys.executable, "-c", _FOR_EVER, "9", str(path)]
        victims = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for victim in victims:
            assert victim.stdout is not None
            victim.stdout.readline()
        writer = JSONLWriter(path)
        outcomes = []
        for line in numbered(400, writer=1):
            outcomes.append(writer.append([line]))
            if line.startswith(b'{"writer": 1, "number": 200'):
                for victim in victims:
                    victim.send_signal(signal.SIGKILL)
        for victim in victims:
            victim.communicate()

        whole = {number for owner, number in find_numbers(path) if owner == 1}
        assert set(outcomes) == {Appended(0, None)}
        assert whole == set(range(400))


_MANY_BATCHES = """
import json, sys
from cert_otel.journal import JSONLWriter

number, path, max_mb = int(sys.argv[1]), sys.argv[2], sys.argv[3]
writer = JSONLWriter(path, max_mb=None if max_mb == "none" else float(max_mb), max_files=10_000)
lost = line = 0
while line < 3000:
    batch = range(line, min(3000, line + 1 + (line * 7 + number) % 23))
    lost += writer.append(
        [
            json.dumps({"writer": number, "number": n, "text": "x" * (n % 400)}).encode() + b"\\n"
            for n in batch
        ]
    ).lost
    line = batch.stop
print(lost)
"""

_FOR_EVER = """
import json, sys
from cert_otel.journal import JSONLWriter

writer = JSONLWriter(sys.argv[2])
line = json.dumps({"writer": 9, "number": 0, "text": "x" * 50_000}).encode() + b"\\n"
writer.append([line])
print("ready", flush=True)
while True:
    writer.append([line] * 10)
"""


class TestRotation:
    def test_before_it_grows_beyond(self, tmp_path: Path) -> None:
        """A batch that would not fit goes into a new file; the old one keeps its lines."""
        writer = JSONLWriter(tmp_path / "a.jsonl", max_mb=0.001)
        for number in range(3):
            writer.append([bytes([48 + number]) * 599 + b"\n"])
        *rotated, current = find_journal_files(writer.path)

        assert current == writer.path
        assert [file.read_bytes()[:1] for file in rotated] == [b"0", b"1"]
        assert current.read_bytes()[:1] == b"2"
        assert stat.S_IMODE(rotated[0].stat().st_mode) == 0o600

    def test_names_sort_by_time_and_end_alike(self, tmp_path: Path) -> None:
        """A rotated file keeps its suffix and never changes its name again."""
        writer = JSONLWriter(tmp_path / "a.jsonl", max_mb=0.000001)
        for _ in range(3):
            writer.append([b"1\n"])
        first, second, _ = find_journal_files(writer.path)
        writer.append([b"1\n"])

        assert first.name < second.name
        assert first.match("a.2*Z.jsonl")
        assert find_journal_files(writer.path)[:2] == [first, second]

    def test_a_batch_is_never_split(self, tmp_path: Path) -> None:
        """A batch larger than the limit is one file: an empty file is not rotated."""
        writer = JSONLWriter(tmp_path / "a.jsonl", max_mb=0.000001)
        writer.append([b"1\n", b"2\n"])

        assert list(tmp_path.iterdir()) == [writer.path]

    def test_only_so_many_are_kept(self, tmp_path: Path) -> None:
        """Beyond `max_files` the oldest is deleted, and nothing but what rotation made."""
        others = [tmp_path / name for name in ("a.old.jsonl", "b.20200101T000000000000Z.jsonl")]
        for other in others:
            other.touch()
        writer = JSONLWriter(tmp_path / "a.jsonl", max_mb=0.000001, max_files=2)
        for number in range(6):
            writer.append([str(number).encode() + b"\n"])

        kept = [file.read_bytes() for file in find_journal_files(writer.path)]
        assert kept == [b"3\n", b"4\n", b"5\n"]
        assert all(other.exists() for other in others)

    def test_nobody_waits_for_a_rotation(self, tmp_path: Path) -> None:
        """While another process holds the lock, lines go to the file as it is."""
        writer = JSONLWriter(tmp_path / "a.jsonl", max_mb=0.000001)
        writer.append([b"1\n"])
        with writer.path.open() as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            writer.append([b"2\n"])

        assert writer.path.read_bytes() == b"1\n2\n"

    @pytest.mark.parametrize("current", [None, b"new\n"])
    def test_rotated_by_another(self, tmp_path: Path, current: bytes | None) -> None:
        """A file that another process renamed a moment ago is left alone, and so is the new one."""

        class RenamedUnderneath(JSONLWriter):
            def _open(self) -> int:
                fd = super()._open()
                if os.pread(fd, 1, 0) == b"1":
                    self.path.rename(self.path.with_name("a.20270101T000000000000Z.jsonl"))
                    if current:
                        self.path.write_bytes(current)
                return fd

        writer = RenamedUnderneath(tmp_path / "a.jsonl", max_mb=0.000001)
        writer.append([b"1\n"])
        writer.append([b"2\n"])

        assert [file.read_bytes() for file in find_journal_files(writer.path)] == [
            b"1\n",
            (current or b"") + b"2\n",
        ]

    def test_the_clock_was_set_back(self, tmp_path: Path) -> None:
        """A name that is taken is not taken away from the file that has it."""
        writer = JSONLWriter(tmp_path / "a.jsonl", max_mb=0.000001, clock=FixedClock(0))
        for number in range(4):
            writer.append([str(number).encode() + b"\n"])

        assert [(file.name, file.read_bytes()) for file in find_journal_files(writer.path)] == [
            ("a.19700101T000000000000Z.jsonl", b"0\n"),
            ("a.19700101T000000000001Z.jsonl", b"1\n"),
            ("a.19700101T000000000002Z.jsonl", b"2\n"),
            ("a.jsonl", b"3\n"),
        ]

    def test_where_nothing_can_be_renamed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where rotation fails the file grows on, and that is said once."""
        taken = "n" * 245 + ".jsonl"
        writer = JSONLWriter(tmp_path / taken, max_mb=0.000001)
        outcomes = {writer.append([b"1\n"]) for _ in range(3)}

        assert outcomes == {Appended(0, None)}
        assert writer.path.read_bytes() == b"1\n1\n1\n"
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "cannot be rotated" in caplog.text
