"""`cert serve`: what it says before it starts, and why it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cert_otel.cli import main

if TYPE_CHECKING:
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
