"""`cert costs`: what is printed, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.cli import main
from cert_otel.cli.costs import format_cost
from cert_otel.records import Record, Tokens, encode_line

if TYPE_CHECKING:
    from collections.abc import Sequence

CERT = str(Path(sys.executable).parent / "cert")
START = datetime(2026, 11, 20, 10, tzinfo=UTC)
AS_NOBODY = """
import os, sys
from cert_otel.cli import main
good, secret = sys.argv[1:]
assert main(["costs", good]) == 0  # everything is imported
if os.getuid() == 0:
    os.setuid(65534)
sys.exit(main(["costs", secret]))
"""
"""Root may read everything, so it stops being root."""
KEYS = {
    "total",
    "currency",
    "records",
    "unpriced",
    "folded",
    "period",
    "by_model",
    "average_per_call",
    "per_successful_task",
    "successful_tasks",
    "tasks",
    "top_model",
    "errors",
    "embeddings",
    "unreadable",
    "files",
}


def make_call(number: int, **fields: Any) -> Record:
    defaults: dict[str, Any] = {
        "kind": "inference",
        "timestamp": START + timedelta(hours=number),
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
        "service": "support",
        "platform": "openai",
        "model": "gpt-4o",
        "tokens": Tokens(prompt=12, completion=5),
        "cost": 1.1e-05,
        "currency": "USD",
    }
    return Record(**defaults | fields)


def write(path: Path, *lines: Record | bytes) -> Path:
    path.write_bytes(
        b"".join(line if isinstance(line, bytes) else encode_line(line) for line in lines)
    )
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, on a terminal of a known width."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def production(folder: Path) -> Path:
    """Write a journal with something of everything."""
    calls = [
        make_call(0),
        make_call(1, model="gpt-4o-mini", cost=0.25),
        make_call(2, model="mine", cost=None, currency=None),
        make_call(3, cost=None, currency=None, status="error", error_type="RateLimitError"),
        make_call(30, kind="embedding", model="text-embedding-3-small", cost=2e-08),
    ]
    return write(folder / "production.jsonl", *calls, make_call(0), b"bad\n")


def run(argv: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["costs", *argv])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


class TestTable:
    """What people read."""

    @pytest.mark.usefixtures("production")
    def test_says_what_it_cost_and_what_is_not_in_it(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The total, the rows, and a word on everything that was left out."""
        code, out, err = run([], capsys)

        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0] == "$0.2500 for 4 calls"
        for part in (
            "embeddings           $0.00000002000 for 1 call, not in the total",
            "2 calls without a cost",
            "1 line folded",
            "1 call failed: RateLimitError (1)",
            "1 line not readable:",
            "  production.jsonl:7: not JSON",
        ):
            assert any(line.startswith(part) for line in lines), part

    @pytest.mark.usefixtures("production")
    def test_rows_are_by_cost(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The most expensive first, the smallest amounts in full, the unknown as unknown."""
        _, out, _ = run([], capsys)

        lines = out.splitlines()
        header = next(at for at, line in enumerate(lines) if line.startswith("model"))
        assert [line.split() for line in lines[header + 1 : header + 4]] == [
            ["gpt-4o-mini", "1", "$0.2500", "100.0%", "12", "5", "0"],
            ["gpt-4o", "2", "$0.00001100", "<0.1%", "24", "10", "1"],
            ["mine", "1", "-", "-", "12", "5", "1"],
        ]

    @pytest.mark.parametrize(
        ("by", "label"), [("service", "support"), ("day", "2026-11-20"), ("task", f"{2:032x}")]
    )
    @pytest.mark.usefixtures("production")
    def test_rows_are_what_was_asked(
        self, by: str, label: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """`--by` chooses what a row stands for."""
        _, out, _ = run(["--by", by], capsys)

        assert any(line.startswith(by) for line in out.splitlines())
        assert any(line.startswith(label) for line in out.splitlines())

    def test_platforms_are_shown_where_they_matter(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One model of two platforms is two rows with the platform below."""
        write(folder / "production.jsonl", make_call(0), make_call(1, platform="azure.ai.openai"))

        _, out, _ = run([], capsys)

        assert "  azure.ai.openai" in out

    def test_currencies_stay_apart(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Each has its total; an amount without one gets none."""
        write(
            folder / "production.jsonl",
            make_call(0, cost=1.5),
            make_call(1, cost=2.5, currency="EUR"),
            make_call(2, cost=3.5, currency="CHF"),
            make_call(3, cost=4.5, currency=None),
        )

        _, out, _ = run([], capsys)

        first = "3.50 CHF and €2.50 and $1.50 and 4.50 (no currency) for 4 calls"
        assert out.splitlines()[0] == first

    def test_the_period_is_named(
        self, production: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What was asked is part of the answer."""
        _, out, _ = run([str(production), "--until", "2026-11-20T11:00:00"], capsys)

        assert out.startswith("$0.00001100 for 1 call\n")
        assert "from the first record to 2026-11-20T11:00:00Z" in out

    def test_many_rows_are_cut(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """And the rest is counted; days are all shown."""
        calls = [make_call(24 * number) for number in range(60)]
        write(folder / "production.jsonl", *calls)

        _, tasks, _ = run(["--by", "task"], capsys)
        _, days, _ = run(["--by", "day"], capsys)

        assert "10 more rows: --format csv or json prints all" in tasks
        assert sum(line.startswith("000000") for line in tasks.splitlines()) == 50
        assert sum(line.startswith("202") for line in days.splitlines()) == 60

    def test_calls_without_a_price_or_for_nothing(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Unknown is a dash, free is zero; neither has a share."""
        unpriced = write(folder / "unpriced.jsonl", make_call(0, cost=None, tokens=None))
        free = write(folder / "free.jsonl", make_call(0, cost=0.0))

        _, of_unpriced, _ = run([str(unpriced)], capsys)
        _, of_free, _ = run([str(free)], capsys)

        assert of_unpriced.startswith("- for 1 call\n")
        assert "most on" not in of_unpriced
        assert of_free.startswith("$0.00 for 1 call\n")
        assert "most on              gpt-4o  $0.00\n" in of_free

    def test_only_embeddings(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Then there are no rows."""
        write(folder / "production.jsonl", make_call(0, kind="embedding"))

        code, out, _ = run([], capsys)

        assert code == 0
        assert "embeddings           $0.00001100 for 1 call" in out

    def test_names_are_no_markup(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Brackets in a model's name are printed as they are."""
        write(folder / "production.jsonl", make_call(0, model="[bold]x[/] \\"))

        code, out, _ = run([], capsys)

        assert code == 0
        assert "\n[bold]x[/] \\ " in out


class TestJSON:
    """What machines read."""

    @pytest.mark.usefixtures("production")
    def test_has_every_key_and_digit(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Numbers are not rounded."""
        code, out, err = run(["--format", "json"], capsys)

        answer = json.loads(out)
        assert (code, err) == (0, "")
        assert answer.keys() >= KEYS
        assert (answer["total"], answer["records"], answer["unpriced"]) == (0.250011, 4, 2)
        assert (answer["folded"], answer["unreadable"]["count"]) == (1, 1)
        assert (answer["tasks"], answer["successful_tasks"]) == (4, 3)
        assert answer["by_model"][1]["cost"] == 1.1e-05
        assert answer["embeddings"]["total"] == 2e-08

    @pytest.mark.parametrize("by", ["service", "day", "task"])
    @pytest.mark.usefixtures("production")
    def test_has_the_rows_that_were_asked(
        self, by: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Beside those of the models."""
        _, out, _ = run(["--by", by, "--format", "json"], capsys)

        assert json.loads(out).keys() >= {"by_model", f"by_{by}"}


class TestCSV:
    """What spreadsheets read."""

    @pytest.mark.usefixtures("production")
    def test_has_a_header_and_every_row(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Unknown is empty, flags are as in JSON."""
        _, out, _ = run(["--by", "task", "--format", "csv"], capsys)

        rows = list(csv.DictReader(io.StringIO(out)))
        assert len(rows) == 4
        assert rows[0]["cost"] == "0.25"
        assert [row["successful"] for row in rows] == ["true", "true", "true", "false"]
        assert rows[3]["cost"] == ""
        assert rows[0]["prompt_tokens"] == "12"
        assert rows[0]["reasoning_tokens"] == ""

    def test_has_a_header_without_rows(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The columns do not depend on what is there."""
        write(folder / "production.jsonl", make_call(0, kind="embedding"))

        _, out, _ = run(["--format", "csv"], capsys)

        assert out.startswith("model,platform,records,cost,currency,share,unpriced,")
        assert out.count("\n") == 1


class TestFiles:
    """Which files are read."""

    def test_the_setting_names_the_default(
        self, production: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without FILE it is `CERT_OTEL_JSONL`."""
        monkeypatch.setenv("CERT_OTEL_JSONL", str(production.rename("calls.jsonl")))

        assert run([], capsys)[0] == 0

    def test_several_are_one(self, production: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Spans in both count once."""
        copy = write(production.with_name("copy.jsonl"), production.read_bytes(), make_call(50))

        _, out, _ = run([str(production), str(copy), "--format", "json"], capsys)

        answer = json.loads(out)
        assert (answer["records"], answer["folded"]) == (5, 7)


class TestRefusals:
    """One message on stderr, exit code 2, nothing on stdout."""

    @pytest.mark.parametrize("output", ["table", "json", "csv"])
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("missing.jsonl", None, "no such file"),
            ("empty.jsonl", b"", "is empty"),
            ("text.jsonl", b"hello\n", "holds no records: line 1"),
            ("binary.jsonl", b"\0\1\2" * 50, "binary"),
        ],
    )
    def test_files(  # noqa: PLR0917 - parametrised
        self,
        output: str,
        name: str,
        content: bytes | None,
        message: str,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The file is named, with what is wrong."""
        if content is not None:
            write(folder / name, content)

        code, out, err = run([name, "--format", output], capsys)

        assert (code, out) == (2, "")
        assert err.startswith(f"cert: {name}: ")
        assert message in err
        assert err.count("\n") == 1

    @pytest.mark.parametrize("locked", ["file", "directory"])
    def test_a_file_that_may_not_be_read(self, locked: str) -> None:
        """Its error is the system's."""
        # Not in the test's folder: above it only its owner may look.
        with tempfile.TemporaryDirectory() as outer:
            Path(outer).chmod(0o755)
            inner = Path(outer, "logs")
            inner.mkdir()
            path = write(inner / "secret.jsonl", make_call(0))
            good = write(Path(outer, "good.jsonl"), make_call(0))
            (path if locked == "file" else inner).chmod(0)
            done = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, str(good), str(path)],
                env={},  # nobody may not write what coverage measures
                capture_output=True,
                text=True,
                check=False,
            )
            inner.chmod(0o700)

        assert done.returncode == 2
        assert done.stderr == f"cert: {path}: cannot be read: Permission denied\n"

    def test_a_directory_without_records(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A directory is named like a file."""
        (folder / "logs").mkdir()

        code, out, err = run(["logs"], capsys)

        assert (code, out) == (2, "")
        assert "logs: a directory without *.jsonl files" in err

    @pytest.mark.usefixtures("production")
    def test_a_period_that_holds_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What was asked stands beside what is there."""
        code, out, err = run(["--period", "1d", "--until", "2020-01-02"], capsys)

        assert (code, out) == (2, "")
        assert "since 2020-01-01T00:00:00Z and before 2020-01-02T00:00:00Z" in err
        assert "from 2026-11-20T10:00:00Z to 2026-11-21T16:00:00Z" in err

    def test_records_without_a_call(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Functions and the like cost nothing by themselves."""
        write(folder / "production.jsonl", make_call(0, kind="function"))

        code, out, err = run([], capsys)

        assert (code, out) == (2, "")
        assert "production.jsonl: holds no model call" in err

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            (["--period", "30"], "--period: '30' is not a length of time"),
            (["--period", "-1d"], "--period"),
            (["--until", "soon"], "--until: 'soon' is not a date or time"),
            (["--by", "colour"], "--by"),
            (["--format", "xml"], "--format"),
            (["--colour"], "--colour"),
        ],
    )
    @pytest.mark.usefixtures("production")
    def test_options(
        self, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The option is named."""
        code, out, err = run(argv, capsys)

        assert (code, out) == (2, "")
        assert message in err

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            (
                "CERT_OTEL_JSNL",
                "x",
                "CERT_OTEL_JSNL: unknown setting; did you mean CERT_OTEL_JSONL",
            ),
            ("CERT_OTEL_JSONL_MAX_MB", "big", "CERT_OTEL_JSONL_MAX_MB: 'big' is not a number"),
        ],
    )
    @pytest.mark.usefixtures("production")
    def test_settings(
        self,
        name: str,
        value: str,
        message: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A setting that cannot be used is an error here, not a warning."""
        monkeypatch.setenv(name, value)

        code, out, err = run([], capsys)

        assert (code, out) == (2, "")
        assert message in err


class TestAmounts:
    """Costs as people read them."""

    @pytest.mark.parametrize(
        ("amount", "currency", "shown"),
        [
            (None, "USD", "-"),
            (0.0, "USD", "$0.00"),
            (1.1e-05, "USD", "$0.00001100"),
            (0.25, "USD", "$0.2500"),
            (0.99999, "USD", "$1.0000"),
            (1234.5, "USD", "$1,234.50"),
            (2.5, "EUR", "€2.50"),
            (2.5, "GBP", "£2.50"),
            (2.5, "JPY", "2.50 JPY"),
            (2.5, None, "2.50 (no currency)"),
        ],
    )
    def test_have_the_digits_they_need(
        self, amount: float | None, currency: str | None, shown: str
    ) -> None:
        """Four significant ones below 1, cents above; a currency only where it is known."""
        assert format_cost(amount, currency) == shown

    @given(st.floats(1e-15, 1e6))
    def test_are_never_shown_as_nothing(self, amount: float) -> None:
        """What costs something is shown to, within a tenth of a percent."""
        shown = float(format_cost(amount, "USD").lstrip("$").replace(",", ""))

        assert shown == pytest.approx(amount, rel=5.1e-3)
        assert shown > 0


class TestProcess:
    """As a program, in a pipe."""

    @pytest.mark.parametrize("output", ["table", "json", "csv"])
    def test_a_reader_that_leaves_is_no_error(self, output: str, folder: Path) -> None:
        """`cert costs … | head -1` ends without a word."""
        write(folder / "production.jsonl", *map(make_call, range(5_000)))
        done = subprocess.run(
            ["bash", "-c", f"{CERT} costs --by task --format {output} | head -1"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.stderr, done.stdout.count("\n")) == ("", 1)

    def test_a_pipe_has_no_width(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is cut or folded where there is no terminal."""
        monkeypatch.delenv("COLUMNS")
        name = "a-very-long-model-name-" * 8
        write(folder / "production.jsonl", make_call(0, model=name))
        done = subprocess.run([CERT, "costs"], capture_output=True, text=True, check=True)

        assert f"\n{name} " in done.stdout

    @pytest.mark.usefixtures("production")
    @pytest.mark.parametrize("width", [40, 60, 80])
    def test_a_narrow_terminal_keeps_amounts_whole(self, width: int, folder: Path) -> None:
        """Names are folded and columns left out; a number is never cut."""
        model = "a-model-with-a-name-of-forty-characters"
        write(folder / "production.jsonl", make_call(0, model=model), make_call(1, cost=1234.5))
        done = subprocess.run(
            [CERT, "costs"],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"COLUMNS": str(width)},
        )

        _, _, table = done.stdout.partition("\n\n")
        assert "…" not in table
        assert " $0.00001100" in table
        assert " $1,234.50" in table
        assert ("completion" in table) is (width == 80)
        assert all(len(line) <= width for line in table.splitlines())

    @pytest.mark.parametrize(
        ("environ", "coloured"), [({"NO_COLOR": "1"}, False), ({"FORCE_COLOR": "1"}, True)]
    )
    @pytest.mark.usefixtures("production")
    def test_colour(self, environ: dict[str, str], coloured: bool) -> None:
        """`NO_COLOR` is heeded."""
        clean = {name: value for name, value in os.environ.items() if "COLOR" not in name}
        done = subprocess.run(
            [CERT, "costs"], capture_output=True, text=True, check=True, env=clean | environ
        )

        assert ("\x1b[" in done.stdout) is coloured

    def test_a_terminal_without_the_sign(self, folder: Path) -> None:
        """What cannot be shown is replaced."""
        write(folder / "production.jsonl", make_call(0, cost=2.5, currency="EUR", model="modèle"))
        done = subprocess.run(
            [CERT, "costs"],
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
        )

        assert done.stdout.startswith(b"?2.50 for 1 call")
        assert b"mod?le" in done.stdout
