"""JSON Schemas of commands and replies, for the documents of the API."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json

from .commands import Command

REFERENCE = "#/components/schemas/{model}"
_NULL = {"type": "null"}


def reference_to(model: type[BaseModel]) -> dict[str, str]:
    """The schema of a model, by reference."""
    return {"$ref": REFERENCE.format(model=model.__name__)}


def schemas_of(models: Iterable[type[BaseModel]]) -> dict[str, dict[str, Any]]:
    """The schemas of `models`, and of all that they have, by their names."""
    each = sorted(models, key=lambda model: model.__name__)
    commands = [(model, "validation") for model in each if issubclass(model, Command)]
    replies = [(model, "serialization") for model in each if not issubclass(model, Command)]
    found: dict[str, dict[str, Any]] = {}
    for asked, finish in ((commands, nullable), (replies, without_null)):
        _, schemas = models_json_schema(asked, ref_template=REFERENCE)  # type: ignore[arg-type]
        for name, schema in schemas.get("$defs", {}).items():
            required = schema.get("required", ())
            for field, of_field in schema.get("properties", {}).items():
                of_field.pop("title", None)
                schema["properties"][field] = of_field if field in required else finish(of_field)
            found[name] = schema
    return dict(sorted(found.items()))


def without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A field that is not sent, rather than sent as a null, where there is nothing to say."""
    kinds = field.get("anyOf", ())
    if _NULL not in kinds:
        return field
    (only,) = (kind for kind in kinds if kind != _NULL)
    return {**only, **{name: value for name, value in field.items() if name not in ("anyOf", "default")}}


def nullable(field: dict[str, Any]) -> dict[str, Any]:
    """A field whose null counts as not sent. What it is then is told in words.

    (By a `default` generators of types take it for a field that is always there.)
    """
    only = dict(without_null(field))
    default = only.pop("default", None)
    if default is not None:
        only["description"] = f"{only['description']} Without it: `{to_json(default).decode()}`."
    return {**only, "type": [only["type"], "null"]}
