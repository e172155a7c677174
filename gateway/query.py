"""What a request says in its path and its query."""

import re

from fastapi import Request

from gateway.body import refuse_key
from shared.contract.commands import CommandT
from shared.contract.errors import InvalidRequest
from shared.contract.parsing import validate

SEVERAL = "resource"
"""The one parameter that may be repeated."""
# The "+" of an offset, which means a blank unless it was percent-encoded. Nothing else has a blank there.
_LOST_PLUS = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")


async def read_query(model: type[CommandT], request: Request) -> CommandT:
    """The command in the path and the query of a request.

    Raises:
        InvalidRequest: a parameter is missing, wrong, unknown or repeated (but for `resource`), or there is a
            body or a key; the sentence names it.
    """
    refuse_key(request.scope["headers"])
    if await request.body():
        raise InvalidRequest(
            "A body is not accepted here; what you ask for belongs into the path and the query"
        )
    sent: dict[str, str | list[str]] = dict(request.path_params)
    known = {field.alias or name for name, field in model.model_fields.items()}
    for name, value in request.query_params.multi_items():
        if name == SEVERAL and name in known:
            sent[name] = [*sent.get(name, ()), value]
            continue
        if name in sent and name in known:
            raise InvalidRequest(f"{name} was sent more than once")
        sent[name] = _LOST_PLUS.sub("+", value)
    return validate(model, sent)
