"""Names of a package that are loaded when somebody asks for them."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def load_when_asked(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return a package's `__getattr__`, so that who imports it waits for nothing that it does not use.

    Args:
        package: Its `__name__`.
        homes: Names by the module that they are in, below the package.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if (home := home_of.get(name)) is None:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        found = getattr(import_module(f"{package}.{home}"), name)
        vars(sys.modules[package])[name] = found
        return found

    return load
