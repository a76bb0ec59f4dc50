"""docs/operations.md says what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cert_otel.semconv import list_prometheus
from cert_otel.service import _committer, _progress, supervisor
from cert_otel.service.receiver.counters import OUTCOMES
from cert_otel.service.settings import Settings, Tls, load

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)::(\w+)`")


def list_keys(section: Any = None, place: str = "") -> Iterator[str]:
    """Yield every key of cert.yaml."""
    section = Settings() if section is None else section
    for name in section.__struct_fields__:
        value = getattr(section, name) if isinstance(section, msgspec.Struct) else None
        here = f"{place}{name}"
        if here == "security.tls":
            yield from (f"{here}.{field}" for field in Tls.__struct_fields__)
        elif isinstance(value, msgspec.Struct):
            yield from list_keys(value, f"{here}.")
        else:
            yield here


class TestPage:
    @pytest.mark.parametrize("key", list(list_keys()))
    def test_each_setting(self, key: str) -> None:
        """Each key stands in the table of settings."""
        assert f"`{key}`" in PAGE

    def test_no_setting_is_invented(self) -> None:
        """What is written as a key in that table is one."""
        table = PAGE.partition("## Settings")[2].partition("\n## ")[0]
        named = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)

        assert {key.strip("`") for cell in named for key in cell.split(", ")} == set(list_keys())

    def test_the_example(self, tmp_path: Path) -> None:
        """The example is read without complaint."""
        (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
        file = tmp_path / "cert.yaml"
        file.write_text(example, encoding="utf-8")

        assert load(file, {"CERT_TOKEN": "secret"}).security.tokens == ("secret",)

    def test_each_metric_and_outcome(self) -> None:
        """Each metric and outcome of the receiver is explained, and no alarm names another."""
        names = {one.name for one in list_prometheus()}
        metrics = {name for name in names if name.startswith(("cert_receiver_", "cert_inbox_"))}
        found = re.findall(r"\bcert_(?:receiver|inbox)_[a-z_]+", PAGE)
        named = {name.removesuffix("_bucket") for name in found}

        assert metrics == named
        for outcome in OUTCOMES:
            assert f"| `{outcome}` |" in PAGE

    def test_numbers(self) -> None:
        """Numbers on the page are those of the code."""
        assert f"the newest {_progress._QUARANTINE_BYTES // 2**20} MiB whole" in PAGE
        assert f"after {supervisor._FIRST_PAUSE_S:g} s" in PAGE
        assert f"up to {supervisor._LONGEST_PAUSE_S:g} s" in PAGE
        assert _committer._ACCEPTED_SHARE == 0.8
        assert _committer._WAL_LIMIT_BYTES < 256_000_000


class TestWhatHappensWhen:
    TABLE = PAGE.partition("## What happens when")[2].partition("\n## ")[0]

    def test_each_row_names_a_test(self) -> None:
        """No claim of the table is without one."""
        _, _, *rows = (line for line in self.TABLE.splitlines() if line.startswith("|"))

        assert len(rows) > 20
        assert [row for row in rows if not NAMED.search(row)] == []

    @pytest.mark.parametrize("named", sorted(set(NAMED.findall(TABLE))), ids="::".join)
    def test_each_test_is_there(self, named: tuple[str, str, str]) -> None:
        """A test that is renamed is renamed there."""
        path, name, function = named
        tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))

        methods = {
            method.name
            for node in tree.body
            if isinstance(node, ast.ClassDef) and node.name == name
            for method in node.body
            if isinstance(method, ast.FunctionDef)
        }
        assert function in methods
