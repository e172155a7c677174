"""The call `POST /api/sms`: a text message, as Twilio sends it; the reply is TwiML.

https://www.twilio.com/docs/messaging/guides/webhook-request
"""

import re
from urllib.parse import parse_qsl

import structlog
from fastapi import FastAPI, Request, Response
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import SIGNATURE_HEADER, RequestValidator
from twilio.twiml.messaging_response import MessagingResponse

from gateway.http.body import CONTENT_TYPE, values
from gateway.http.connection import REQUESTER
from gateway.sms.channel import IncomingText, SmsChannel
from gateway.sms.numbers import read_number
from shared.contract.errors import Forbidden, InvalidRequest, UnsupportedMediaType

PATH = "/api/sms"
FORM = b"application/x-www-form-urlencoded"
MOST_FIELDS = 200
CARRIER_WORDS = {"STOP", "START"}
Form = ImmutableMultiDict[str, str]
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = structlog.get_logger()


class WrongSignature(Forbidden):
    """The request is not from the provider, or `PUBLIC_URL` is not the URL that the provider calls."""

    message = "The signature is wrong"


def register(app: FastAPI, channel: SmsChannel, auth_token: str, public_url: str) -> None:
    """Add the call. Its signature is its access: it needs no key.

    Args:
        app: the application.
        channel: answers the texts.
        auth_token: the secret of the signatures.
        public_url: the address of this gateway that the provider calls.
    """
    validator = RequestValidator(auth_token)

    async def receive(request: Request) -> Response:
        form = _read_form(request, await request.body())
        query = request.url.query
        url = f"{public_url}{request.url.path}{f'?{query}' if query else ''}"
        if not validator.validate(url, form, request.headers.get(SIGNATURE_HEADER, "")):
            raise WrongSignature
        line = channel.lines.get(_field(form, "To"))
        if line is None:
            log.warning("sms_to_unknown_number")
            return _twiml("", 404)
        message, body = _field(form, "MessageSid"), _field(form, "Body")
        if not _MESSAGE_ID.fullmatch(message):
            raise InvalidRequest("MessageSid must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")
        try:
            number = read_number(_field(form, "From"))
        except ValueError:  # a short code or a name, which cannot be answered
            log.info("sms_from_no_phone")
            return _twiml("")
        # The provider may have been told other words for STOP and START.
        if (word := form.get("OptOutType")) in CARRIER_WORDS:
            body = word
        request_id = request.scope[REQUESTER].request_id
        return _twiml(await channel.answer(IncomingText(line, number, message, body, request_id)))

    app.add_api_route(PATH, receive, methods=["POST"], include_in_schema=False)


def _read_form(request: Request, body: bytes) -> Form:
    """Return the fields of a form.

    Raises:
        UnsupportedMediaType, InvalidRequest
    """
    types = values(request.scope["headers"], CONTENT_TYPE)
    if not types or types[0].partition(b";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType(f"Content-Type must be {FORM.decode()}")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidRequest("Body must be a form in UTF-8") from None
    return Form(pairs)


def _field(form: Form, name: str) -> str:
    """Return the value of a field.

    Raises:
        InvalidRequest
    """
    value = form.get(name)
    if value is None:
        raise InvalidRequest(f"Missing {name}")
    return value


def _twiml(reply: str, status: int = 200) -> Response:
    response = MessagingResponse()
    if reply:
        response.message(reply)
    return Response(str(response), status, media_type="text/xml")
