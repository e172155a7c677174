"""What a request says in its path and its query."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import QueryParams

from shared.contract.commands import Command
from shared.contract.errors import InvalidRequest
from shared.contract.operation import Call, Operation

SEVERAL = "resource"
"""The one parameter that may be repeated."""
# The "+" of an offset, which means a blank unless it was percent-encoded. Nothing else has a blank there.
_LOST_PLUS = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")


def path_fields(operation: Operation[Any, Any], call: Call) -> set[str]:
    """The fields of the command that stand in the path of a call."""
    return {name for name in operation.command.model_fields if f"{{{name}}}" in call.path}


def read_query(
    model: type[Command], path: Mapping[str, str], query: bytes, body: bytes
) -> dict[str, str | list[str]]:
    """What the path and the query of a request say, not validated yet.

    Raises:
        InvalidRequest: a field of `model` is repeated (but for `resource`), or there is a body.
    """
    if body:
        raise InvalidRequest(
            "A body is not accepted here; what you ask for belongs into the path and the query"
        )
    said: dict[str, str | list[str]] = dict(path)
    known = {field.alias or name for name, field in model.model_fields.items()}
    for name, value in QueryParams(query).multi_items():
        if name == SEVERAL and name in known:
            said[name] = [*said.get(name, ()), value]
            continue
        if name in said and name in known:
            raise InvalidRequest(f"{name} was sent more than once")
        said[name] = _LOST_PLUS.sub("+", value)
    return said
