"""What model calls cost: the questions of costs.sql, asked from Python."""

from __future__ import annotations

from datetime import UTC, datetime
from math import fsum
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import msgspec

from cert_otel.analysis.period import parse_period
from cert_otel.analysis.records import load_records, read_sql
from cert_otel.analysis.summary import By
from cert_otel.errors import CertOtelError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cert_otel.analysis.period import Period
    from cert_otel.analysis.records import Database
    from cert_otel.analysis.summary import CostSummary, FileFigures, PeriodEdges, Unreadable

_LABELS: Final = {"service": "service", "day": "date", "task": "task"}
"""Key of the label in a row of each breakdown."""


class CostAnalyzer:
    """What the model calls in journal files cost.

    The files are read once, here: all methods speak of the same moment. What was not priced
    is in no amount and is counted; embeddings are counted apart.
    """

    def __init__(
        self,
        paths: str | PathLike[str] | Iterable[str | PathLike[str]],
        *,
        period: str | None = None,
        until: str | datetime | None = None,
    ) -> None:
        """Read the files.

        Args:
            paths: A file, a directory (its `*.jsonl`), or several. Results beside a file, in
                `FILE.scores.jsonl`, are joined.
            period: Back from `until`, or from now: `30d`, `12h`, `4w`.
            until: ISO 8601, exclusive; UTC where no offset is given.

        Raises:
            ConfigError: For a malformed `period` or `until`.
            InputError: For a file that is missing or cannot be read, or when no line of any
                file is a record.
        """
        self._period = parse_period(period, until, now=datetime.now(UTC))
        listed = [paths] if isinstance(paths, str | PathLike) else paths
        self._database = load_records([Path(path) for path in listed])

    def total_cost(self) -> float | None:
        """Return the sum over all priced calls, `None` when there is none."""
        return self._summarise_one_currency()["total"]

    def cost_by_model(self) -> dict[str, float | None]:
        """Return the cost of each model, on all platforms together; `None` is unpriced."""
        amounts: dict[str, list[float]] = {}
        for row in self._summarise_one_currency()["by_model"]:
            of_model = amounts.setdefault(row["model"] or "unknown", [])
            if row["cost"] is not None:
                of_model.append(row["cost"])
        costs = {model: fsum(parts) if parts else None for model, parts in amounts.items()}
        return dict(sorted(costs.items(), key=lambda item: -(item[1] or 0)))

    def cost_trend(self) -> dict[str, float | None]:
        """Return the cost of each day (UTC) that has calls, in order; `None` is unpriced."""
        summary = self._summarise_one_currency(by="day")
        return {row["date"]: row["cost"] for row in summary["by_day"]}

    def cost_per_successful_task(self) -> float | None:
        """Return the total over the number of traces in which nothing failed."""
        return self._summarise_one_currency()["per_successful_task"]

    def summary(self, by: By = "model") -> CostSummary:
        """Return all figures; with another `by` than `model` its rows stand beside `by_model`.

        Raises:
            ConfigError: For an unknown `by`.
        """
        if by not in get_args(By):
            raise ConfigError("by", f"{by!r} is unknown; use {', '.join(get_args(By))}")
        figures = self._ask(by)
        rows = figures.pop("by_label")
        if by != "model":
            figures[f"by_{by}"] = [_label_row(row, by) for row in rows]
        return cast(  # the keys of costs.sql; a test holds them to the annotation
            "CostSummary",
            figures
            | {
                "period": _describe_period(self._period),
                "unreadable": _describe_unreadable(self._database),
                "files": _describe_files(self._database),
            },
        )

    def _ask(self, by: By) -> dict[str, Any]:
        since, until = (edge and edge.replace(tzinfo=None) for edge in self._period)
        answer = self._database.connection.execute(
            read_sql("costs.sql"), {"since": since, "until": until, "by": by}
        ).fetchall()
        figures: dict[str, Any] = msgspec.json.decode(answer[0][0])
        return figures

    def _summarise_one_currency(self, by: By = "model") -> CostSummary:
        summary = self.summary(by)
        if len(summary["totals"]) > 1:
            names = ", ".join(total["currency"] or "an unnamed one" for total in summary["totals"])
            raise CertOtelError(f"costs are in {names}, which are never added: see summary()")
        return summary


def _label_row(row: dict[str, Any], by: By) -> dict[str, Any]:
    label, started, successful = (row.pop(key) for key in ("label", "started", "successful"))
    task = {"started": started, "successful": successful} if by == "task" else {}
    return {_LABELS[by]: label, **task, **row}


def _format_moment(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.replace(tzinfo=None).isoformat()}Z"


def _describe_period(period: Period) -> PeriodEdges:
    since, until = map(_format_moment, period)
    return {"since": since, "until": until}


def _describe_unreadable(database: Database) -> Unreadable:
    return {
        "count": sum(file.unreadable for file in database.files),
        "lines": [
            {"path": str(path), "line": line, "problem": problem}
            for path, line, problem in database.unreadable
        ],
    }


def _describe_files(database: Database) -> list[FileFigures]:
    return [
        {
            "path": str(file.path),
            "formats": dict(file.formats),
            "records": file.records,
            "unreadable": file.unreadable,
            "earliest": _format_moment(file.earliest),
            "latest": _format_moment(file.latest),
        }
        for file in database.files
    ]
