"""Make JSON Schemas of commands and replies for the OpenAPI and AsyncAPI documents."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json

from .commands import Command

REFERENCE = "#/components/schemas/{model}"
_NULL = {"type": "null"}


def reference_to(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to the schema of a model."""
    return {"$ref": REFERENCE.format(model=model.__name__)}


def schemas_of(models: Iterable[type[BaseModel]]) -> dict[str, dict[str, Any]]:
    """Return the schemas of `models`, and of the models that they contain, by name."""
    ordered = sorted(models, key=lambda model: model.__name__)
    commands = [(model, "validation") for model in ordered if issubclass(model, Command)]
    replies = [(model, "serialization") for model in ordered if not issubclass(model, Command)]
    found: dict[str, dict[str, Any]] = {}
    # Commands last: a model that a command and a reply contain is described as the command accepts it.
    for members, finish in ((replies, without_null), (commands, nullable)):
        _, schemas = models_json_schema(members, ref_template=REFERENCE)  # type: ignore[arg-type]
        for name, schema in schemas.get("$defs", {}).items():
            required = schema.get("required", ())
            for field, of_field in schema.get("properties", {}).items():
                of_field.pop("title", None)
                schema["properties"][field] = of_field if field in required else finish(of_field)
            found[name] = schema
    return dict(sorted(found.items()))


def without_null(field: dict[str, Any]) -> dict[str, Any]:
    """Describe an optional field of a reply: if it has no value, it is absent, never null."""
    kinds = field.get("anyOf", ())
    if _NULL not in kinds:
        return field
    (only,) = (kind for kind in kinds if kind != _NULL)
    return {**only, **{name: value for name, value in field.items() if name not in ("anyOf", "default")}}


def nullable(field: dict[str, Any]) -> dict[str, Any]:
    """Describe an optional field of a command: null means absent. The default stands in the description.

    A `default` in the schema would make type generators declare the field as always present.
    """
    only = dict(without_null(field))
    default = only.pop("default", None)
    if default is not None:
        only["description"] = f"{only['description']} Without it: `{to_json(default).decode()}`."
    return {**only, "type": [only["type"], "null"]}
