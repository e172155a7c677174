"""What only HTTP has: media types, methods, headers, documentation."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.callers import HttpCaller
from tests.slots import fresh

BOOK = "/api/book-appointment"
HOLD = "/api/hold-appointment"


@pytest.mark.parametrize(
    "media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
async def test_what_is_not_declared_as_json_is_refused(
    http: httpx.AsyncClient, media_type: str | None
) -> None:
    """A body must say that it is JSON: a form of another site cannot book."""
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await http.post(BOOK, content=b'{"slot":"x"}', headers=headers)
    assert (answer.status_code, answer.json()) == (415, {"error": "Content-Type must be application/json"})


async def test_an_empty_body_is_an_empty_object(http: httpx.AsyncClient) -> None:
    """Who sends nothing hears what is missing, over HTTP as over NATS."""
    answer = await http.post(BOOK, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": "Missing slot or patientName"})


async def test_json_may_name_its_charset(http: httpx.AsyncClient) -> None:
    """Parameters of the media type do no harm."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (await http.post(BOOK, json=fresh(), headers=headers)).status_code == 201


@pytest.mark.parametrize("path", ["/api", "/api/nothing", f"{BOOK}/", "/api/appointments/"])
async def test_an_unknown_path_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    """404 has the shape of every other refusal."""
    answer = await http.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})


async def test_a_wrong_method_is_named(http: httpx.AsyncClient) -> None:
    """405 has the shape of every other refusal, and says what is allowed."""
    answer = await http.get(BOOK)
    assert (answer.status_code, answer.json()) == (405, {"error": "Method not allowed"})
    assert answer.headers["Allow"] == "POST"


async def test_a_large_body_without_a_length_is_refused(http: httpx.AsyncClient) -> None:
    """A body that is sent in chunks is cut off at 16 KiB."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 1024

    answer = await http.post(BOOK, content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


async def test_every_refusal_names_its_type(http: httpx.AsyncClient, http_caller: HttpCaller) -> None:
    """Programs read what a refusal is from `Error-Type`, whoever refuses; people read the sentence."""
    body, json = fresh(), {"Content-Type": "application/json"}
    assert "error-type" not in (await http_caller.book(body)).headers
    refusals = {
        "SlotAlreadyBooked": await http.post(BOOK, json={**body, "patientName": "Grace"}),
        "InvalidRequest": await http.post(BOOK, content=b"{", headers=json),
        "NoSuchAppointment": await http.get("/api/appointments/nothing"),
        "NotFound": await http.get("/nothing"),
        "MethodNotAllowed": await http.get(BOOK),
        "UnsupportedMediaType": await http.post(BOOK, content=b"{}"),
        "TooLarge": await http.post(BOOK, content=b" " * 20_000, headers=json),
    }
    for name, answer in refusals.items():
        assert answer.headers["Error-Type"] == name


async def test_every_answer_names_its_request(http: httpx.AsyncClient) -> None:
    """A caller's hexadecimal request id comes back; anything else is replaced by a new one."""
    mine = "0123456789abcdef"
    answer = await http.post(BOOK, json={}, headers={"X-Request-Id": mine})
    assert answer.headers["X-Request-Id"] == mine
    answer = await http.post(BOOK, json={}, headers={"X-Request-Id": "Zebra Canary"})
    assert len(answer.headers["X-Request-Id"]) == 32


async def test_a_malformed_idempotency_key_is_refused(http_caller: HttpCaller) -> None:
    """A key is 1 to 255 printable ASCII characters; the sentence names the header."""
    for key in ("", "x" * 256):
        answer = await http_caller.book(fresh(), **{"Idempotency-Key": key})
        assert answer.status == 400
        assert answer.error.startswith("Idempotency-Key")


async def test_a_request_has_one_idempotency_key(http: httpx.AsyncClient) -> None:
    """Two keys in one request are refused: nobody could tell which of them a repeat will have."""
    twice = [("Idempotency-Key", "first"), ("Idempotency-Key", "second")]
    answer = await http.post(BOOK, json=fresh(), headers=twice)
    assert (answer.status_code, answer.json()) == (400, {"error": "Idempotency-Key was sent more than once"})


async def test_the_key_is_no_field_of_the_body(http_caller: HttpCaller) -> None:
    """Over HTTP the key is a header; in the body it is an unknown field."""
    answer = await http_caller.book(fresh(idempotencyKey="k"))
    assert (answer.status, answer.error) == (400, "Unknown field idempotencyKey")


async def test_what_is_read_of_a_request_is_documented(http: httpx.AsyncClient) -> None:
    """The schema names the fields and the outcomes of the contract, and no answer that is never given."""
    schema = (await http.get("/openapi.json")).json()
    assert set(schema["components"]["schemas"]["SlotRequest"]["properties"]) == {
        "slot",
        "patientName",
        "site",
        "resources",
        "durationMinutes",
        "holdToken",
    }
    refusals = {"400", "405", "408", "413", "503", "504"}
    assert set(schema["paths"][BOOK]["post"]["responses"]) == {"201", "409", "415", "422", *refusals}
    assert set(schema["paths"][HOLD]["post"]["responses"]) == {"200", "409", "415", *refusals}
    assert set(schema["paths"]["/api/appointments/{id}"]["get"]["responses"]) == {"200", "404", *refusals}
    assert "ValidationError" not in schema["components"]["schemas"]
