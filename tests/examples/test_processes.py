"""What the demonstration starts ends with it, and what fails is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chain import SERVICE_SETTINGS, Programs
from processes import (
    DemoError,
    fetch,
    find_ports,
    find_program,
    hold_signals,
    run_in_background,
    run_quietly,
    run_step,
)
from run import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from processes import Background

DEMO = """
import sys
from pathlib import Path
import chain
from processes import end_on_signals
from run import main
end_on_signals()
chain.SERVICE_SETTINGS = sys.argv[2]
sys.exit(main(Path(sys.argv[1]), chain.Programs(None, None)))
"""
UNSCORED = SERVICE_SETTINGS.replace("{{model: ", "{{enabled: false, model: ")
"""Without the model, which takes seconds to load."""


def list_running(folder: Path) -> list[int]:
    """Return the processes that work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink() == folder.resolve():
                found.append(int(place.parent.name))
        except OSError:  # it has ended, or is not ours
            continue
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for settings and logs, in which nothing may be left running."""
    yield tmp_path / "demo"

    assert list_running(tmp_path / "demo") == []


def run_python(code: str, folder: Path) -> AbstractContextManager[Background]:
    """Return a program that is not yet running."""
    folder.mkdir()
    command = [sys.executable, "-c", code]
    return run_in_background("a part", command, environment=os.environ, folder=folder)


class TestBackground:
    def test_ends_with_the_block(self, folder: Path) -> None:
        """Also when that is left by an error."""
        with pytest.raises(ValueError, match="an error"), run_python("input()", folder):
            raise ValueError("an error")

    def test_what_does_not_listen_is_killed(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SIGTERM first, SIGKILL when that was not enough."""
        monkeypatch.setattr("processes.STOP_S", 0.2)
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
        with run_python(deaf, folder) as part:
            part.wait_until(lambda: part.log.read_text() == "1\n", what="a line")

    def test_one_that_ended_is_named_with_the_end_of_its_log(self, folder: Path) -> None:
        """Its exit code, what it was waited for, the file, and its last lines."""
        code = "print(*range(30), sep='\\n'); raise SystemExit(3)"
        with run_python(code, folder) as part, pytest.raises(DemoError) as error:
            part.wait_until(lambda: False, what="a miracle")

        said = str(error.value)
        assert "a part ended with exit code 3, before there was: a miracle" in said
        assert "demo/a-part.log ends with:\n  | 15\n" in said
        assert said.endswith("  | 29")

    def test_one_that_takes_too_long_is_named(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With what is not there."""
        monkeypatch.setattr("processes.PATIENCE_S", 0.2)
        with (
            run_python("import time; time.sleep(60)", folder) as part,
            pytest.raises(DemoError, match=r"had 0.2 s, and there is not: an answer at http"),
        ):
            part.wait_for(f"http://127.0.0.1:{find_ports(1)[0]}")


class TestSignals:
    def test_ctrl_c_waits_until_a_process_is_known(self) -> None:
        """It comes through at the end of the block, not in it."""
        reached = []

        def start() -> None:
            with hold_signals():
                signal.raise_signal(signal.SIGINT)
                reached.append("the end")

        with pytest.raises(KeyboardInterrupt):
            start()

        assert reached == ["the end"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class TestStep:
    def test_a_failing_step_is_named(self) -> None:
        """With its exit code."""
        with pytest.raises(DemoError, match="the step ended with exit code 3"):
            run_step("the step", [sys.executable, "-c", "raise SystemExit(3)"], os.environ)

    def test_a_missing_program_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With what installs it."""
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

        with pytest.raises(DemoError, match=r"cert is missing: install with pip install"):
            find_program("cert")

    def test_what_is_run_quietly_tells_whether_it_succeeded(self, tmp_path: Path) -> None:
        """And leaves what it said in the log, behind what was there."""
        log = tmp_path / "log"

        assert run_quietly([sys.executable, "-c", "print('one')"], log)
        assert not run_quietly([sys.executable, "-c", "raise SystemExit('two')"], log)
        assert log.read_text(encoding="utf-8") == "one\ntwo\n"

    def test_a_server_that_is_not_there_answers_nothing(self) -> None:
        """Nobody listening is no error."""
        assert fetch(f"http://127.0.0.1:{find_ports(1)[0]}") is None


class TestDemonstration:
    def test_a_part_that_fails_is_named(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """With the end of its log; what ran already has ended."""
        monkeypatch.setattr("chain.SERVICE_SETTINGS", UNSCORED)
        cannot_run = Path("/bin/false")

        assert main(folder, Programs(cannot_run, None)) == 1
        assert "demo: collector ended with exit code 1" in capfd.readouterr().err

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)], ids=["ctrl-c", "kill"]
    )
    def test_leaves_nothing_when_it_is_stopped(
        self, folder: Path, root: Path, number: signal.Signals, code: int
    ) -> None:
        """Ctrl-C or SIGTERM in the middle: everything ends, without a traceback."""
        demo = subprocess.Popen(
            [sys.executable, "-c", DEMO, str(folder), UNSCORED],
            env={**os.environ, "PYTHONPATH": str(root / "examples" / "demo")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert demo.stdout is not None
        while not demo.stdout.readline().startswith("48 tickets"):
            assert demo.poll() is None
        assert list_running(folder)
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)

        assert demo.returncode == code
        assert "Traceback" not in errors
