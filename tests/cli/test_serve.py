"""`cert serve`: what it says before it starts, and why it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cert_otel.cli import main
from cert_otel.journal import JSONLWriter, get_scores_path, read_journal, read_lines
from cert_otel.records import EvaluationRecord, Record, encode_line

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


class TestCheck:
    def test_defaults(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Without a file it says what the page says, and makes nothing."""
        monkeypatch.chdir(tmp_path)

        assert main(["serve", "--check"]) == 0
        assert f"$ cert serve --check\n{capsys.readouterr().out}```" in DOCS
        assert list(tmp_path.iterdir()) == []

    def test_cert_yaml(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A cert.yaml in the directory is used."""
        monkeypatch.chdir(tmp_path)
        Path("cert.yaml").write_text("trail: {path: elsewhere.jsonl}", encoding="utf-8")

        assert main(["serve", "--check"]) == 0
        assert "trail      elsewhere.jsonl" in capsys.readouterr().out

    def test_what_is_wrong(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What cannot be used is named with file, line and key, and ends with 2."""
        path = tmp_path / "my.yaml"
        path.write_text("inbox:\n  capacity: 3\n", encoding="utf-8")

        assert main(["serve", "--config", str(path), "--check"]) == 2
        assert f"cert: {path}:2: inbox.capacity: is no setting" in capsys.readouterr().err

    def test_files_that_are_missing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A certificate that cannot be read is found before anything starts."""
        path = tmp_path / "cert.yaml"
        path.write_text("security: {tls: {cert_file: a, key_file: b}}", encoding="utf-8")

        assert main(["serve", "--config", str(path), "--check"]) == 2
        assert "security.tls: a, b: cannot be used" in capsys.readouterr().err


class TestServe:
    def test_start_and_stop(self, tmp_path: Path) -> None:
        """It says where everything is, runs until told to stop, and ends with 0."""
        config = tmp_path / "cert.yaml"
        config.write_text(
            "receiver: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}\n"
            f"metrics: {{endpoint: '127.0.0.1:0'}}\ninbox: {{path: {tmp_path}/inbox}}\n"
            f"trail: {{path: {tmp_path}/trail.jsonl}}\nscorer: {{enabled: false}}\n"
            "api: {enabled: false}\n",
            encoding="utf-8",
        )
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from cert_otel.cli import main; sys.exit(main())",
             "serve", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if "OTLP/HTTP on" in line:
                process.send_signal(signal.SIGTERM)
        process.stdout.close()

        assert process.wait(timeout=40) == 0
        assert f"inbox      {tmp_path}/inbox" in seen
        assert "the receiver has stopped" in seen


class Watching:
    """`cert serve --watch` in a process of its own."""

    def __init__(self, journal: Path, config: Path) -> None:
        self.scores = get_scores_path(journal)
        self._log = journal.with_suffix(".log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from cert_otel.cli import main; sys.exit(main())",
             "serve", "--watch", str(journal), "--config", str(config)],
            stdout=self._log,
            stderr=self._log,
        )  # fmt: skip

    def wait_for(self, count: int) -> None:
        """Wait until so many calls have a result."""
        deadline_s = time.monotonic() + 120
        while not self.scores.exists() or len(self.scores.read_bytes().splitlines()) < count:
            assert self._process.poll() is None, Path(self._log.name).read_text(encoding="utf-8")
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    def stop(self) -> int:
        """Tell it to stop, and return how it ended."""
        self._process.terminate()
        code = self._process.wait(timeout=40)
        self._log.close()
        return code


class TestWatch:
    def test_from_line_to_score(
        self, tmp_path: Path, scorer: Path, call: Callable[..., Record]
    ) -> None:
        """Each call gets its score once: while it runs, over a restart, rotation and half a line."""
        journal = tmp_path / "production.jsonl"
        config = tmp_path / "cert.yaml"
        config.write_text(
            f"scorer: {{model: {scorer}, device: cpu, embedder: hidden}}\n"
            "evaluation: {evaluators: []}\n",
            encoding="utf-8",
        )
        application = JSONLWriter(journal, max_mb=0.002)
        application.append([encode_line(call(0)), encode_line(call(1))])
        watching = Watching(journal, config)
        watching.wait_for(2)
        for number in (2, 3, 4, 5):
            application.append([encode_line(call(number))])
        whole = encode_line(call(6))
        with journal.open("ab") as file:
            file.write(whole[:50])
        watching.wait_for(6)
        codes = [watching.stop()]

        with journal.open("ab") as file:
            file.write(whole[50:])
        application.append([encode_line(call(7))])
        watching = Watching(journal, config)
        watching.wait_for(8)
        application.append([encode_line(call(8))])
        watching.wait_for(9)
        codes.append(watching.stop())

        results = [line.content for line in read_lines(watching.scores)]
        found = [one.span_id for one in results if isinstance(one, EvaluationRecord)]
        assert sorted(found) == [f"{number + 1:016x}" for number in range(9)]
        assert len(list(tmp_path.glob("production.2*.jsonl"))) > 1
        records = read_journal([journal]).records
        assert [record.score_status for record in records] == ["scored"] * 9
        assert all(record.trajectory is not None for record in records)
        assert codes == [0, 0]
