"""`cert` as a whole: help, wrong arguments, missing extras, a reader that leaves."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cert_otel import __version__
from cert_otel.cli import main
from cert_otel.records import ContextItem, Record, encode_line

COMMANDS = ("costs", "score", "models", "read", "doctor", "prices", "version")
CERT = str(Path(sys.executable).parent / "cert")


class TestHelp:
    """Each command says what it does and shows an example."""

    def test_lists_the_commands(self, capsys: pytest.CaptureFixture[str]) -> None:
        """`cert --help` names every command with one sentence."""
        assert main(["--help"]) == 0

        shown = capsys.readouterr().out
        for command in COMMANDS:
            assert command in shown

    def test_loads_no_model(self) -> None:
        """`cert --help` and `cert score --help` answer before torch could be loaded."""
        code = (
            "import sys; from cert_otel.cli import main\n"
            "main(['--help']), main(['score', '--help']), main(['models', '--help'])\n"
            "assert not {'torch', 'transformers', 'numpy', 'duckdb'} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

        assert (done.returncode, done.stderr) == (0, b"")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_has_an_example(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        """`cert COMMAND --help` contains a call that can be copied."""
        assert main([command, "--help"]) == 0

        shown = capsys.readouterr().out
        assert "Example" in shown
        assert f"cert {command}" in shown


class TestWrongArguments:
    """What cannot be understood is said on stderr, with exit code 2."""

    @pytest.mark.parametrize(
        "argv", [["unknown"], ["version", "--format", "xml"], ["doctor", "--nope"]]
    )
    def test_exits_with_2(self, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing is printed on stdout, and no traceback."""
        assert main(argv) == 2

        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        assert printed.err != ""


class TestVersion:
    """`cert version`."""

    def test_prints_json_for_machines(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The version of the package and of the price table are in it."""
        assert main(["version", "--format", "json"]) == 0

        shown = capsys.readouterr().out
        assert f'"cert-otel": "{__version__}"' in shown
        assert '"prices": "genai-prices-' in shown

    def test_prints_lines_for_people(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One line each."""
        assert main(["version"]) == 0

        assert len(capsys.readouterr().out.splitlines()) == 5


class TestMissingExtra:
    """A command whose libraries are not installed."""

    @pytest.mark.parametrize(
        ("module", "loaded", "argv", "message"),
        [
            ("cyclopts", "cert_otel.cli._app", ["version"], "`cert version` needs the [cli] extra"),
            ("cyclopts", "cert_otel.cli._app", [], "`cert --help` needs the [cli] extra"),
            ("duckdb", "cert_otel.analysis", ["costs"], "`cert costs` needs the [analysis] extra"),
            (
                "numpy",
                "cert_otel.scoring",
                ["score", "--completion", "x"],
                "`cert score` needs the [score] extra",
            ),
        ],
    )
    def test_is_named(  # noqa: PLR0917 - parametrised
        self,
        module: str,
        loaded: str,
        argv: list[str],
        message: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The command and the line that installs what it needs."""
        for name in [name for name in sys.modules if name.startswith(loaded)]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)

        assert main(argv) == 2
        assert message in capsys.readouterr().err

    def test_our_own_mistakes_are_not_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another module that is missing is an error of ours."""
        monkeypatch.delitem(sys.modules, "cert_otel.cli._app", raising=False)
        monkeypatch.setitem(sys.modules, "cert_otel.cli._app", None)

        with pytest.raises(ModuleNotFoundError, match="_app"):
            main(["version"])


class TestWithoutNumpy:
    """What `pip install cert-otel[cli]` suffices for."""

    def test_evaluates(self, tmp_path: Path) -> None:
        """`cert evaluate` by grounding needs no array."""
        record = Record(
            kind="inference",
            timestamp=datetime(2026, 11, 20, tzinfo=UTC),
            trace_id="t",
            span_id="s",
            input_data="For how long?",
            output_data="30 days",
            context=[ContextItem(text="Returns are free for 30 days.")],
        )
        (tmp_path / "production.jsonl").write_bytes(encode_line(record))
        code = (
            "import sys; sys.modules['numpy'] = None\n"
            "from cert_otel.cli import main; sys.exit(main(['evaluate', 'production.jsonl']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
        )

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("passed   1 of 1 answers")


class TestProcess:
    """The installed programs."""

    @pytest.mark.parametrize("name", ["cert", "cert-otel"])
    def test_runs_under_both_names(self, name: str) -> None:
        """`cert` and `cert-otel` are one program."""
        program = str(Path(CERT).with_name(name))
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)

        assert done.stdout.strip() == __version__

    def test_a_reader_that_leaves_is_no_error(self) -> None:
        """`cert … | head -0` ends without a traceback."""
        done = subprocess.run(
            ["bash", "-c", f"{CERT} version | true; exit ${{PIPESTATUS[0]}}"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.stderr == ""

    @pytest.mark.parametrize(
        ("module", "command", "extra"),
        [
            ("cyclopts", "version", "cli"),
            ("duckdb", "costs", "analysis"),
            ("numpy", "score", "score"),
            ("numpy", "validate production.jsonl", "analysis"),
            ("torch", "models", "score"),
            ("huggingface_hub", "models", "score"),
        ],
    )
    def test_names_the_extra_that_is_missing(
        self, module: str, command: str, extra: str, tmp_path: Path
    ) -> None:
        """Without its libraries a command prints the one line that installs them."""
        journal = tmp_path / "production.jsonl"
        journal.write_text("{}\n")
        code = (
            f"import sys; sys.modules[{module!r}] = None\n"
            f"from cert_otel.cli import main; sys.exit(main({command.split()!r}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

        assert done.returncode == 2
        assert f"pip install 'cert-otel[{extra}]'" in done.stderr
        assert "Traceback" not in done.stderr
