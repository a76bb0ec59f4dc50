"""YAML to plain data that remembers its lines, with the environment put in as the collector does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from cert_otel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VARIABLE: Final = re.compile(
    r"\$(?:(?P<dollar>\$)|\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})"
)
_MAX_DEPTH: Final = 20


class Document(NamedTuple):
    """What a file says, and where."""

    data: Any
    lines: Mapping[str, int]
    """By path, as `receiver.grpc.endpoint` or `deliver.to[0]`; counted from 1."""


def read_document(path: Path, text: str, environ: Mapping[str, str]) -> Document:
    """Parse a file.

    Args:
        path: Named in errors.
        text: What the file holds.
        environ: For `${env:NAME}` and `${env:NAME:-default}`; `$$` is a dollar sign.

    Raises:
        ConfigError: For what is no YAML, a key that stands twice, or a variable that is not set.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(str(path), f"is not YAML: {error}") from None
    lines: dict[str, int] = {}
    reader = _Reader(path, environ, lines)
    return Document({} if node is None else reader.read(node, ""), lines)


class _Reader:
    def __init__(self, path: Path, environ: Mapping[str, str], lines: dict[str, int]) -> None:
        self._path = path
        self._environ = environ
        self._lines = lines

    def read(self, node: yaml.Node, place: str, depth: int = 0) -> Any:
        line = node.start_mark.line + 1
        self._lines.setdefault(place, line)
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{self._path}:{line}", f"{place} is nested too deeply")
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, place, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.read(child, f"{place}[{index}]", depth + 1)
                for index, child in enumerate(node.value)
            ]
        return self._read_scalar(node, place)

    def _read_mapping(self, node: yaml.MappingNode, place: str, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, child in node.value:
            key = str(key_node.value)
            here = f"{place}.{key}" if place else key
            line = key_node.start_mark.line + 1
            if key in data:
                raise ConfigError(f"{self._path}:{line}", f"{here} stands there twice")
            self._lines[here] = line
            data[key] = self.read(child, here, depth + 1)
        return data

    def _read_scalar(self, node: yaml.Node, place: str) -> Any:
        text = str(node.value)
        if "$" not in text:
            return yaml.SafeLoader("").construct_object(node, deep=True)
        return _VARIABLE.sub(lambda found: self._get(found, place), text)

    def _get(self, found: re.Match[str], place: str) -> str:
        if found["dollar"]:
            return "$"
        value = self._environ.get(found["name"]) or found["default"]
        if value is None:
            raise ConfigError(
                f"{self._path}:{self._lines[place]}",
                f"{place} needs the environment variable {found['name']}, which is not set",
            )
        return value
