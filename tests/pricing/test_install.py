"""The user's table: what can be one, what is said about it, how it takes the old one's place."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from genai_prices.data import providers as source_providers

from cert_otel import config
from cert_otel.errors import InputError
from cert_otel.pricing import check_files, find_model, price_call, table_info
from cert_otel.pricing._files import SHIPPED, choose_table_path
from cert_otel.pricing._install import (
    Change,
    compare_tables,
    decode_all,
    install_table,
    read_new_table,
    render_table,
)
from cert_otel.pricing._table import Match, Model, Provider, Row, Table
from cert_otel.records import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

DAY: Final = date(2026, 12, 1)
GPT_4O: Final = Model(
    id="gpt-4o", match=Match(equals=("gpt-4o",)), standard=(Row(input=1.0, output=2.0),)
)


def make_table(*models: Model, day: date = DAY) -> bytes:
    """Render a table of openai."""
    providers = {"openai": Provider(models=models or (GPT_4O,))}
    return render_table(providers, source="test", day=day, generated="by a test")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a file that may become the table, last changed on the first of December."""

    def write_file(content: Any) -> Path:
        path = tmp_path / "new.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        moment = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
        os.utime(path, (moment, moment))
        return path

    return write_file


def export() -> bytes:
    """Return genai-prices' data as it is published."""
    script = SHIPPED.parents[4] / "scripts" / "compile_prices.py"
    spec = importlib.util.spec_from_file_location("compile_prices", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    exported: bytes = module.export(source_providers)
    return exported


def price() -> float | None:
    """Price a million tokens of gpt-4o each way."""
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    cost = price_call("openai", "gpt-4o", usage, at_unix_s=1.79e9)
    return None if cost is None else cost.amount


class TestRead:
    """A file that may become the table."""

    def test_our_own(self, write: Callable[[Any], Path]) -> None:
        """The table that ships is taken as it is, date and all."""
        new = read_new_table(write(SHIPPED.read_bytes()))

        assert new.content == SHIPPED.read_bytes()
        assert (new.table.version, new.table.date) == table_info()[:2]

    def test_genai_prices(self, write: Callable[[Any], Path]) -> None:
        """Its published data gives the same models and prices as compiling its package."""
        path = write(export())
        new = read_new_table(path)
        shipped = msgspec.json.decode(SHIPPED.read_bytes(), type=Table)

        assert decode_all(new.table, path) == decode_all(shipped, SHIPPED)
        assert (new.table.date, new.left_out) == (DAY, ())

    def test_litellm(self, write: Callable[[Any], Path]) -> None:
        """LiteLLM's map becomes a table under its names."""
        entry = {"litellm_provider": "azure", "input_cost_per_token": 1e-06}
        path = write({"azure/gpt-4o": entry})
        new = read_new_table(path)

        assert new.table.version.startswith("litellm+")
        assert decode_all(new.table, path)["azure"].models[0].id == "gpt-4o"

    def test_what_is_not_known(self, write: Callable[[Any], Path]) -> None:
        """A kind of price from the future is named, and the rest is read."""
        model = {"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": 1, "mood_mtok": 2}}

        assert read_new_table(write([{"id": "p", "models": [model]}])).left_out == (
            "price mood_mtok",
        )

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"{", "is no JSON"),
            ({"a": 1}, "is neither"),
            (17, "is neither"),
            ([{"id": "p"}], "is neither"),
            ([{"id": "p", "models": [{"id": "m", "match": {"x": 1}, "prices": {}}]}], "kind: x"),
            ([], "has no model"),
            ({"version": "1", "providers": {}}, "is neither"),
            (make_table().replace(b'"input":1.0', b'"input":-1.0'), "openai: Expected `float`"),
        ],
    )
    def test_mistakes(self, write: Callable[[Any], Path], content: Any, message: str) -> None:
        """All of it is checked, and what is wrong is said with the file's name."""
        path = write(content)

        with pytest.raises(InputError) as raised:
            read_new_table(path)
        assert str(raised.value).startswith(f"{path}: ")
        assert message in str(raised.value)

    def test_is_not_there(self, tmp_path: Path) -> None:
        """A file that is not there is an error."""
        with pytest.raises(InputError, match="No such file"):
            read_new_table(tmp_path / "none.json")


class TestCompare:
    """What is other in a new table."""

    def test_kinds(self) -> None:
        """Added, removed, with other rates; a change elsewhere than in the newest rates as well."""

        def make(name: str, **fields: Any) -> Model:
            return Model(id=name, match=Match(equals=(name,)), **fields)

        same = make("same", standard=(Row(input=1.0),))
        before = (
            same,
            make("gone"),
            make("dearer", standard=(Row(input=1.0),)),
            make("flexed", standard=(Row(input=1.0),)),
        )
        after = (
            same,
            make("new"),
            make("dearer", standard=(Row(input=2.0, output=3.0),)),
            make("flexed", standard=(Row(input=1.0),), modes={"flex": (Row(input=0.5),)}),
        )
        changes = compare_tables({"p": Provider(models=before)}, {"p": Provider(models=after)})

        assert changes.added == (Change("p", "new"),)
        assert changes.removed == (Change("p", "gone"),)
        assert changes.changed == (
            Change("p", "dearer", {"input": (1.0, 2.0), "output": (None, 3.0)}),
            Change("p", "flexed", {}),
        )


class TestInstall:
    """Putting it in place."""

    def test_folders_and_rights(self, tmp_path: Path) -> None:
        """Folders are made, and whoever runs the service can read it; nothing is left beside it."""
        path = tmp_path / "a" / "b" / "prices.json"
        install_table(b"1", path)
        install_table(b"2", path)

        assert path.read_bytes() == b"2"
        assert path.stat().st_mode & 0o777 == 0o644
        assert list(path.parent.iterdir()) == [path]

    def test_always_whole(self, tmp_path: Path) -> None:
        """Whoever reads meanwhile sees one table or the other."""
        path = tmp_path / "prices.json"
        tables = [make_table(), make_table(GPT_4O, msgspec.structs.replace(GPT_4O, id="x" * 9_999))]
        install_table(tables[0], path)
        seen = set()
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.add(path.read_bytes())

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(60):
            install_table(tables[number % 2], path)
        done.set()
        reader.join()

        assert seen <= set(tables)

    def test_cannot_be_written(self, tmp_path: Path) -> None:
        """A place that is none is an error that names it."""
        (tmp_path / "file").write_text("")

        with pytest.raises(InputError, match=r"prices\.json: cannot be written"):
            install_table(b"1", tmp_path / "file" / "prices.json")


class TestUse:
    """Which table is read."""

    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where a user's table lies by default."""
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        config.reset()
        return tmp_path / "cert-otel" / "prices.json"

    def test_default_place(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Below XDG_DATA_HOME, else below the home folder."""
        assert choose_table_path(config.get_config()) == home

        monkeypatch.delenv("XDG_DATA_HOME")
        assert (
            choose_table_path(config.get_config())
            == Path.home() / ".local/share/cert-otel/prices.json"
        )

    def test_newer(self, home: Path) -> None:
        """One that is as new as the one that ships is used, and said to be."""
        shipped = price()
        install_table(make_table(), home)
        config.reset()

        assert (shipped, price()) == (12.5, 3.0)
        assert table_info().path == home
        assert find_model("openai", "gpt-5") is None

    def test_older(self, home: Path) -> None:
        """An upgrade of cert-otel is not undone by what was installed before."""
        install_table(make_table(day=date(2020, 1, 1)), home)
        config.reset()

        assert (price(), table_info().path) == (12.5, SHIPPED)

    def test_pinned(self, tmp_path: Path) -> None:
        """One that the settings name is used whatever its date."""
        path = tmp_path / "pinned.json"
        install_table(make_table(day=date(2020, 1, 1)), path)
        config.configure(prices_table=str(path))

        assert (price(), table_info().date) == (3.0, date(2020, 1, 1))

    @pytest.mark.parametrize("content", [b"{", b"{}", None])
    def test_unusable(
        self, tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An error for commands, one warning in the application, which takes the one that ships."""
        path = tmp_path / "broken.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=r"broken\.json"):
            check_files(config.configure(prices_table=str(path)))
        with caplog.at_level(logging.WARNING):
            prices = [price(), price()]

        assert prices == [12.5, 12.5]
        assert len(caplog.records) == 1

    def test_one_provider_is_broken(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Its models have no price then; nothing is raised."""
        path = tmp_path / "broken.json"
        path.write_bytes(make_table().replace(b'"input":1.0', b'"input":"x"'))
        settings = config.configure(prices_table=str(path))
        with caplog.at_level(logging.WARNING):
            prices = [price(), price()]

        assert prices == [None, None]
        assert len(caplog.records) == 1
        with pytest.raises(InputError, match="openai: Expected `float"):
            check_files(settings)
