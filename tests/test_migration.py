"""docs/migration.md: what it says is there is there, and what it says is to come is not yet."""

from __future__ import annotations

import importlib
import importlib.util
import re
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from cert_otel import config, semconv
from cert_otel.cli import main
from cert_otel.cli._app import app
from cert_otel.wire.cert_logs import record_from_cert_log

if TYPE_CHECKING:
    from cert_otel.records import Record

DOCS: Final = (Path(__file__).parents[1] / "docs" / "migration.md").read_text(encoding="utf-8")
NOW: Final = "now"
GONE: Final = "gone"
COMING: Final = re.compile(r"from `(\w+)` on")
FOLDERS: Final = frozenset(
    {
        "instrumentations",
        "scoring",
        "evaluation",
        "audit",
        "service",
        "analysis",
        "coordination",
        "compliance",
        "dashboard",
    }
)
"""Of the design, where names may come from later."""
METRICS: Final = frozenset(
    value for name, value in vars(semconv).items() if name.startswith("METRIC_")
) | {metric.name for metric in semconv.list_prometheus()}
MESSAGES: Final = [{"role": "user", "content": "hi"}]
CALL: Final[dict[str, Any]] = {
    "timestamp": "2025-01-15T10:30:00Z",
    "platform": "cohere",
    "model": "m",
}
VALUES: Final[dict[str, tuple[Any, Any]]] = {
    "timestamp": ("2025-01-15T10:30:01Z", None),
    "input_data": (MESSAGES, "hi"),
    "context": (["a passage"], None),
    "metadata": ({"team": "search"}, {"team": "search"}),
    "metadata.tokens": ({"prompt": 12, "completion": 5}, None),
    "metadata.prompt_tokens": (12, None),
    "metadata.input_tokens": (12, None),
    "token_usage": ({"input_tokens": 12}, None),
    "cost": (0.25, 0.25),
    "duration_ms": (7.5, 7.5),
    "latency_ms": (7.5, 7.5),
    "metadata.latency_ms": (7.5, 7.5),
    "metadata.finish_reason": ("stop", ["stop"]),
    "metadata.stop_reason": ("end_turn", ["end_turn"]),
    "metadata.streaming": (True, "completed"),
    "status": ("error", "error"),
    "error": ("it failed", "error"),
    "confidence": (0.5, 0.5),
    "metadata.confidence": (0.5, 0.5),
    "accuracy_score": (0.5, 0.5),
    "threshold": (0.5, 0.5),
    "passed": (True, True),
    "matched": (True, True),
    "is_compliant": (False, False),
    "semantic_score": (0.5, None),
    "grounding_score": (0.5, None),
    "nli_score": (0.5, None),
    "metrics": ({"nli_score": 0.5}, None),
}
"""Field of a log to a value, and what the record has of it; `None` is "something"."""


def read_rows(section: str) -> list[list[str]]:
    """Return the cells of the table of a section, without its head."""
    text = DOCS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def list_rows(section: str) -> list[Any]:
    """Return the rows of a section, as parameters of a test."""
    return [pytest.param(*row, id=row[0].replace("`", "")) for row in read_rows(section)]


def find_quoted(cell: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def is_there(path: str) -> bool:
    """Tell whether a module, or a name in one, can be had; a module named alone is not run."""
    if find_module(path):
        return True
    parts = path.split(".")
    depth = next((d for d in range(len(parts) - 1, 0, -1) if find_module(".".join(parts[:d]))), 0)
    found: Any = importlib.import_module(".".join(parts[:depth]))
    for name in parts[depth:]:
        found = getattr(found, name, None)
    return found is not None


def find_module(name: str) -> bool:
    """Tell whether a module is there."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def check_status(status: str, *, there: bool) -> None:
    """Compare what a row says last with what is."""
    coming = COMING.fullmatch(status)
    assert status in {NOW, GONE} or (coming and coming[1] in FOLDERS)
    assert there == (status == NOW), "write `now`: it is there" if there else "it is not there"


class TestTables:
    """Every row, by the kind of what it names."""

    @pytest.mark.parametrize(("former", "present", "status"), list_rows("Packages"))
    def test_extra(self, former: str, present: str, status: str) -> None:
        """An extra that is named is one of ours."""
        extras = set(metadata("cert-otel").get_all("Provides-Extra") or ())
        named = set(re.findall(r"\[(\w+)\]", present))

        assert former.startswith("`cert-framework")
        assert named <= extras
        check_status(status, there=True)

    @pytest.mark.parametrize(
        ("former", "present", "status"), list_rows("Imports, classes and functions")
    )
    def test_name(self, former: str, present: str, status: str) -> None:
        """A name that is there can be imported; one that is to come cannot yet."""
        assert find_quoted(former)
        paths = [name for name in find_quoted(present) if name.startswith("cert_otel")]
        if status == GONE:
            assert not paths
            return
        assert paths
        check_status(status, there=all(is_there(path) for path in paths))

    @pytest.mark.parametrize(("former", "present", "status"), list_rows("Commands"))
    def test_command(
        self, former: str, present: str, status: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A command that is there has the options that are named."""
        assert find_quoted(former)
        commands = [quoted for quoted in find_quoted(present) if quoted.startswith("cert ")]
        if status == GONE:
            assert not commands
            return
        (command,) = commands
        name = command.split()[1]
        check_status(status, there=name in app)
        if status == NOW:
            main([name, "--help"])
            shown = capsys.readouterr().out
            assert all(option in shown for option in re.findall(r"--[a-z]+", command))

    @pytest.mark.parametrize(("former", "present", "status"), list_rows("Environment variables"))
    def test_variable(self, former: str, present: str, status: str) -> None:
        """A variable that is named is one that we read."""
        assert find_quoted(former)
        quoted = find_quoted(present)
        if status == NOW:
            assert quoted
            assert set(quoted) <= set(config.VARIABLES)
        elif status != GONE:
            check_status(status, there=all(is_there(path) for path in quoted))

    @pytest.mark.parametrize(("former", "present", "status"), list_rows("Metrics"))
    def test_metric(self, former: str, present: str, status: str) -> None:
        """A metric that is there is one that we emit."""
        assert all(name.startswith("cert_") for name in find_quoted(former))
        quoted = find_quoted(present)
        if status == NOW:
            assert quoted
            assert set(quoted) <= METRICS
        elif status != GONE:
            check_status(status, there=all(is_there(path) for path in quoted))


class TestLogFields:
    """Every field of a log that is said to be read."""

    @pytest.mark.parametrize(("former", "present"), list_rows("Log fields"))
    def test_field(self, former: str, present: str) -> None:
        """A line with the field has a record with what became of it."""
        (name,), (field,) = find_quoted(former), find_quoted(present)
        value, expected = VALUES.get(name, ("a text", "a text"))
        place, _, inner = name.partition(".")
        with_it = read({**CALL, place: {inner: value} if inner else value})
        without_it = read(CALL)

        assert getattr(with_it, field) != getattr(without_it, field)
        if expected is not None:
            assert getattr(with_it, field) == expected

    def test_each_value_is_of_a_row(self) -> None:
        """Nothing is tried here that the page does not name."""
        named = {find_quoted(former)[0] for former, _ in read_rows("Log fields")}

        assert set(VALUES) <= named


def read(line: dict[str, Any]) -> Record:
    """Read a line, and insist that it is one."""
    record = record_from_cert_log(line)
    assert record is not None
    return record
