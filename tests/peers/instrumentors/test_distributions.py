"""opentelemetry-distro installed beside ours: who wins, who says so, and how one chooses."""

from __future__ import annotations

import shutil
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

CALL: Final = "openai.OpenAI().chat.completions.create(model='gpt-4o', messages=messages)"
OURS: Final = {"OTEL_PYTHON_DISTRO": "cert_otel", "OTEL_PYTHON_CONFIGURATOR": "cert_otel"}
THEIRS: Final = {"OTEL_PYTHON_DISTRO": "distro", "OTEL_PYTHON_CONFIGURATOR": "configurator"}
TO_JOURNAL: Final = {
    "OTEL_TRACES_EXPORTER": "cert_jsonl",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}
NOWHERE: Final = {**TO_JOURNAL, "OTEL_TRACES_EXPORTER": "none"}


def put_first(name: str, folder: Path) -> dict[str, str]:
    """Have a distribution found first, as the order of a site-packages folder may have it."""
    # The metadata alone: the code stays where it is installed.
    metadata = Path(str(distribution(name)._path))  # type: ignore[attr-defined]
    first = folder / "first"
    shutil.copytree(metadata, first / metadata.name)
    return {"PYTHONPATH": str(first)}


def checks_of(application: Any, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what `cert doctor` finds, by the name of the check."""
    answer = application.ask_cert("doctor", **environ)
    return {check["name"]: check for check in answer["checks"]}


class TestEitherFirst:
    """Nothing is chosen: the loader takes the distribution that it finds first."""

    @pytest.mark.parametrize("first", ["cert-otel", "opentelemetry-distro"])
    def test_calls_are_recorded(self, first: str, application: Any, tmp_path: Path) -> None:
        """The instrumentors work under either."""
        application.run(CALL, choice={}, **TO_JOURNAL, **put_first(first, tmp_path))

        assert application.read_costs()["records"] == 1

    def test_ours_needs_no_setting(self, application: Any, tmp_path: Path) -> None:
        """Where ours is first, records go to the journal with nothing configured."""
        done = application.run(CALL, choice={}, **put_first("cert-otel", tmp_path))

        assert application.read_costs()["records"] == 1
        assert f"to {tmp_path / 'production.jsonl'}" in done.stderr

    def test_the_start_up_line_names_the_other(self, application: Any, tmp_path: Path) -> None:
        """Where ours lost, the line says who exports, and what chooses ours."""
        first = put_first("opentelemetry-distro", tmp_path)
        done = application.run(CALL, choice={}, **NOWHERE, **first)

        (line,) = (line for line in done.stderr.splitlines() if line.startswith("cert-otel"))
        assert "opentelemetry-distro" in line
        assert "OTEL_PYTHON_DISTRO=cert_otel and OTEL_PYTHON_CONFIGURATOR=cert_otel" in line
        assert not (tmp_path / "production.jsonl").exists()

    @pytest.mark.parametrize(
        ("first", "winner"), [("cert-otel", "cert_otel"), ("opentelemetry-distro", "distro")]
    )
    def test_doctor_names_the_winner(
        self, first: str, winner: str, application: Any, tmp_path: Path
    ) -> None:
        """`cert doctor` says which one wins, and, where ours lost, what chooses it."""
        check = checks_of(application, put_first(first, tmp_path))["distribution"]

        assert check["finding"].startswith(winner)
        if winner == "distro":
            assert "OTEL_PYTHON_DISTRO=cert_otel" in check["advice"]


class TestChosen:
    """One is chosen by its name, whichever is found first."""

    @pytest.mark.parametrize("first", ["cert-otel", "opentelemetry-distro"])
    def test_ours(self, first: str, application: Any, tmp_path: Path) -> None:
        """The two settings that the start-up line names choose ours."""
        application.run(CALL, **put_first(first, tmp_path))

        assert application.read_costs()["records"] == 1

    @pytest.mark.parametrize("first", ["cert-otel", "opentelemetry-distro"])
    def test_the_other(self, first: str, application: Any, tmp_path: Path) -> None:
        """Under opentelemetry-distro our spans go where its exporters go."""
        environ = put_first(first, tmp_path)
        done = application.run(CALL, choice=THEIRS, **TO_JOURNAL, **environ)

        assert application.read_costs()["records"] == 1
        assert "production.jsonl" in done.stderr

    def test_doctor_follows_the_choice(self, application: Any, tmp_path: Path) -> None:
        """`cert doctor` sees the same settings as the loader."""
        first = put_first("opentelemetry-distro", tmp_path)
        checks = checks_of(application, {**first, **OURS})

        assert checks["distribution"]["status"] == "ok"
        assert checks["configurator"]["status"] == "ok"
