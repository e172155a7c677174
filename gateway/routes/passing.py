"""What every route does: read the command, and find the client."""

from fastapi import Request

from gateway.body import read_command
from shared.client.command_client import CommandClient
from shared.contract.commands import CommandT
from shared.contract.errors import InvalidRequest


def client_of(request: Request) -> CommandClient:
    """The gateway's connection to the workers."""
    client: CommandClient = request.app.state.client
    return client


def refuse_query(request: Request) -> None:
    """What is asked for stands in the body: a query would be passed over without a word.

    Raises:
        InvalidRequest
    """
    if request.scope["query_string"]:
        raise InvalidRequest("Query parameters are not accepted here; what you ask for belongs into the body")


async def body_as(model: type[CommandT], request: Request) -> CommandT:
    """The command in the body of a request.

    Raises:
        UnsupportedMediaType, InvalidRequest
    """
    refuse_query(request)
    return read_command(model, request.scope["headers"], await request.body())
