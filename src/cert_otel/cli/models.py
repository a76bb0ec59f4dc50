"""`cert models`: which scoring models are here, and what this machine has room for."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - cyclopts resolves the annotations at run time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.table import Table
from rich.text import Text

from cert_otel.cli._output import Format, open_console, print_json
from cert_otel.cli._settings import get_valid_config
from cert_otel.scoring.choice import get_quantization
from cert_otel.scoring.quantization import count_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cert_otel.config import Config
    from cert_otel.scoring.catalogue import ModelEntry
    from cert_otel.scoring.quantization import Quantization

_GB: Final = 1e9
_MILLION: Final = 1e6
_MISSING: Final = "-"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a model would be loaded into."""

    device: str
    dtype: str
    width_bytes: int
    """Of one weight."""
    free_bytes: int

    @property
    def most_parameters(self) -> int:
        """The largest model whose weights fit."""
        return self.free_bytes // self.width_bytes

    def count_bytes(
        self, entry: ModelEntry, quantization: Quantization | None = None
    ) -> int | None:
        """Return what the weights of a model need here; `None` where that is not known."""
        if entry.parameters is None or (quantization and entry.embedding_parameters is None):
            return None
        others = entry.embedding_parameters or 0
        return count_bytes(entry.parameters - others, others, self.width_bytes, quantization)

    def fits(self, entry: ModelEntry, quantization: Quantization | None = None) -> bool | None:
        """Tell whether a model fits; `None` where that is not known."""
        needed = self.count_bytes(entry, quantization)
        return None if needed is None else needed <= self.free_bytes


def models(*folders: Path, format: Format = "table") -> int:  # noqa: A002 - the option's name
    """List the scoring models that are here, and what would fit on this machine.

    The packaged reference model, folders that are named, and the cache of the model hub; nobody is
    asked over the network.

    Example: cert models models/qwen2.5-7b

    Args:
        folders: Folders of models, as transformers writes them.
        format: A table, or JSON for machines.
    """
    settings = get_valid_config()
    from cert_otel.scoring.catalogue import list_models  # noqa: PLC0415 - needs the [score] extra

    machine = _look_at_machine(settings.scorer_device)
    entries = list_models(list(folders))
    chosen = settings.scorer_model or _choose(machine, entries, settings)
    if format == "json":
        print_json(_describe(machine, entries, chosen))
        return 0
    with open_console() as console:
        for line in _list_facts(machine, chosen):
            console.print(Text(line), soft_wrap=True)
        console.print()
        console.print(_tabulate(machine, entries, chosen))
    return 0


def _look_at_machine(wanted: str) -> Machine:
    from cert_otel.scoring.models import (  # noqa: PLC0415 - torch takes seconds
        count_free_bytes,
        find_device,
        find_dtype,
    )

    device = find_device(wanted)
    dtype = find_dtype("auto", device)
    return Machine(
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        width_bytes=dtype.itemsize,
        free_bytes=count_free_bytes(device),
    )


def _choose(machine: Machine, entries: Sequence[ModelEntry], settings: Config) -> str:
    """Return the model that `defaults.load` takes where none is named."""
    from cert_otel.scoring.defaults import list_candidates  # noqa: PLC0415 - [score]

    quantization = get_quantization(settings.scorer_quantization)
    too_large = {entry.name for entry in entries if machine.fits(entry, quantization) is False}
    *better, packaged = list_candidates(has_gpu=machine.device.startswith("cuda"))
    return next((name for name in better if name not in too_large), packaged)


def _describe(machine: Machine, entries: Sequence[ModelEntry], chosen: str) -> dict[str, Any]:
    return {
        "machine": {
            **msgspec.structs.asdict(machine),
            "most_parameters": machine.most_parameters,
        },
        "chosen": chosen,
        "models": [
            {
                **msgspec.structs.asdict(entry),
                "needed_bytes": machine.count_bytes(entry),
                "fits": machine.fits(entry),
                "needed_bytes_8bit": machine.count_bytes(entry, "8bit"),
                "fits_8bit": machine.fits(entry, "8bit"),
                "needed_bytes_4bit": machine.count_bytes(entry, "4bit"),
                "fits_4bit": machine.fits(entry, "4bit"),
            }
            for entry in entries
        ],
    }


def _list_facts(machine: Machine, chosen: str) -> Iterator[str]:
    free = f"{machine.free_bytes / _GB:.1f} GB free"
    yield f"device  {machine.device}, {free}, computes in {machine.dtype}"
    yield f"fits    up to {machine.most_parameters / _GB:.1f} billion parameters, without the texts"
    yield f"chosen  {chosen}; CERT_OTEL_SCORER_MODEL names another"


def _tabulate(machine: Machine, entries: Sequence[ModelEntry], chosen: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    table.add_column("where", no_wrap=True)
    for name in ("parameters", "needs", "8bit", "4bit"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("fits", overflow="fold")
    for entry in entries:
        table.add_row(
            Text(entry.name, "bold" if entry.name == chosen else ""),
            _WHERE[entry.source],
            _MISSING if entry.parameters is None else f"{entry.parameters / _MILLION:,.1f} M",
            *(_format_bytes(machine.count_bytes(entry, way)) for way in _WAYS),
            Text(entry.problem or _describe_fit(machine, entry)),
        )
    return table


def _describe_fit(machine: Machine, entry: ModelEntry) -> str:
    fits = {way: machine.fits(entry, way) for way in _WAYS}
    if fits[None] is False:
        return next((f"in {way}" for way in _WAYS if fits[way]), "no")
    return "yes" if fits[None] else "unknown"


def _format_bytes(count: int | None) -> str:
    if count is None:
        return _MISSING
    return f"{count / _GB:,.1f} GB" if count >= _GB else f"{count / _MILLION:,.0f} MB"


_WHERE: Final = {
    "packaged": "packaged",
    "folder": "folder",
    "cache": "hub cache",
    "hub": "hub, not here",
}
_WAYS: Final[tuple[Quantization | None, ...]] = (None, "8bit", "4bit")
