"""Read the path and the query of a request."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import QueryParams

from shared.contract.commands import Command
from shared.contract.errors import InvalidRequest
from shared.contract.operation import Call, Operation

REPEATABLE = "resource"
"""The one parameter that a query may repeat."""
# An unescaped "+" of an offset arrives as a space. No other value has a space at this place.
_UNESCAPED_PLUS = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")


def path_fields(operation: Operation[Any, Any], call: Call) -> set[str]:
    """Return the fields of the command that are parameters of the call's path."""
    return {name for name in operation.command.model_fields if f"{{{name}}}" in call.path}


def read_query(
    model: type[Command], path: Mapping[str, str], query: bytes, body: bytes
) -> dict[str, str | list[str]]:
    """Return the parameters of the path and the query of a request, before validation.

    Raises:
        InvalidRequest: a field of `model` except `resource` is repeated, or the request has a body.
    """
    if body:
        raise InvalidRequest(
            "A body is not accepted here; what you ask for belongs into the path and the query"
        )
    fields: dict[str, str | list[str]] = dict(path)
    known = {field.alias or name for name, field in model.model_fields.items()}
    for name, value in QueryParams(query).multi_items():
        if name == REPEATABLE and name in known:
            fields[name] = [*fields.get(name, ()), value]
            continue
        if name in fields and name in known:
            raise InvalidRequest(f"{name} was sent more than once")
        fields[name] = _UNESCAPED_PLUS.sub("+", value)
    return fields
