"""The smallest instance of a JSON schema, so that canned answers parse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EXAMPLES: Final[Mapping[str, Any]] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
}
_DEEP: Final = 4
"""A schema may refer to itself: from here on arrays are empty and what can be null is."""
_MAX_DEPTH: Final = 12
"""Here a schema that offers no end is cut with null."""


def make_example(schema: Mapping[str, Any]) -> Any:
    """Return a small deterministic value that fits `schema`.

    Covers what structured outputs allow: objects, arrays, enums, const, anyOf and local
    references. Patterns, formats and ranges are not looked at.
    """
    return _make(schema, schema, depth=0)


def _make(schema: Mapping[str, Any], root: Mapping[str, Any], *, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return None
    if "$ref" in schema:
        return _make(_resolve(schema["$ref"], root), root, depth=depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for alternatives in ("anyOf", "oneOf", "allOf"):
        if schema.get(alternatives):
            return _make(_pick(schema[alternatives], depth), root, depth=depth + 1)
    return _make_typed(schema, root, depth=depth)


def _make_typed(schema: Mapping[str, Any], root: Mapping[str, Any], *, depth: int) -> Any:
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {
            name: _make(part, root, depth=depth + 1)
            for name, part in schema.get("properties", {}).items()
        }
    if kind == "array":
        filled = depth < _DEEP and schema.get("items")
        return [_make(schema["items"], root, depth=depth + 1)] if filled else []
    return _EXAMPLES[kind]


def _pick(alternatives: Sequence[Mapping[str, Any]], depth: int) -> Mapping[str, Any]:
    ends = [part for part in alternatives if depth >= _DEEP and part.get("type") == "null"]
    return [*ends, *alternatives][0]


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        found = found[name] if name else found
    return found
