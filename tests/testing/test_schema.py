"""Instances of JSON schemas."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from cert_otel.testing._schema import make_example


class _Colour(StrEnum):
    RED = "red"


class _Leaf(BaseModel):
    colour: _Colour
    kind: Literal["leaf"]
    weight: float


class _Tree(BaseModel):
    name: str
    age: int
    evergreen: bool
    leaves: list[_Leaf]
    parent: _Tree | None
    grove: None


class TestMakeExample:
    def test_fits_what_structured_outputs_allow(self) -> None:
        """The instance parses as the model that the schema came from."""
        example = make_example(_Tree.model_json_schema())

        assert _Tree.model_validate(example).leaves[0].colour is _Colour.RED

    @pytest.mark.parametrize(
        ("schema", "example"),
        [
            ({"type": ["string", "null"]}, "text"),
            ({"type": "array"}, []),
            ({"oneOf": [{"const": 3}]}, 3),
            ({"allOf": [{"type": "number"}]}, 1.5),
            ({}, {}),
        ],
    )
    def test_fits_the_schema(self, schema: dict[str, Any], example: Any) -> None:
        """Type lists, bare arrays, alternatives and the empty schema have an instance."""
        assert make_example(schema) == example

    def test_ends_where_a_schema_refers_to_itself(self) -> None:
        """A schema that never ends is cut with null."""
        schema = {"properties": {"next": {"$ref": "#"}}}

        assert "'next': None" in str(make_example(schema))
