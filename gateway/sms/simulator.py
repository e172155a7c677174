"""A phone on a page, to try the conversation without a provider: `/sms`, if `DEMO_PAGES` is set.

Its texts go to the same channel as those of the provider. Only this host may send them.
"""

from typing import Annotated

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from gateway.http.body import read_object
from gateway.http.connection import REQUESTER
from gateway.http.own_host import refuse_strangers
from gateway.http.response import to_response
from gateway.sms.channel import IncomingText, SmsChannel
from gateway.sms.numbers import read_number
from shared.contract.commands import Command
from shared.contract.envelope import Reply
from shared.contract.errors import InvalidRequest
from shared.contract.parsing import validate

PATH = "/sms/texts"
LONGEST_TEXT = 1600


class SimulatedText(Command):
    """A text of the phone on the page."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    phone: Annotated[str, StringConstraints(max_length=20)]
    to: Annotated[str, StringConstraints(max_length=20)]
    text: Annotated[str, Field(max_length=LONGEST_TEXT)]


class SimulatedReply(BaseModel):
    """`reply`: "" if there is none."""

    reply: str


class OurNumber(BaseModel):
    number: str
    site: str
    language: str


class OurNumbers(BaseModel):
    numbers: list[OurNumber]


def register(app: FastAPI, channel: SmsChannel) -> None:
    """Add the calls of the page: our numbers, and a text to one of them."""

    async def numbers(request: Request) -> Response:
        refuse_strangers(request)
        lines = channel.lines.values()
        ours = [OurNumber(number=one.number, site=one.site, language=one.phrases.code) for one in lines]
        return to_response(Reply(OurNumbers(numbers=ours)))

    async def receive(request: Request) -> Response:
        refuse_strangers(request)
        sent = validate(SimulatedText, read_object(request.scope["headers"], await request.body()))
        line = channel.lines.get(sent.to)
        if line is None:
            raise InvalidRequest("to must be one of our numbers")
        try:
            number = read_number(sent.phone)
        except ValueError as error:
            raise InvalidRequest(f"phone {error}") from None
        request_id = request.scope[REQUESTER].request_id
        reply = await channel.answer(IncomingText(line, number, sent.id, sent.text, request_id))
        return to_response(Reply(SimulatedReply(reply=reply)))

    app.add_api_route(PATH, numbers, methods=["GET"], include_in_schema=False)
    app.add_api_route(PATH, receive, methods=["POST"], include_in_schema=False)
