"""The parts of the contract that only HTTP has: media types, methods, headers, documentation."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.contract.operations import GET
from tests.callers import HttpCaller
from tests.slots import fresh

BOOK = "/api/book-appointment"
HOLD = "/api/hold-appointment"


@pytest.mark.parametrize(
    "media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
async def test_body_not_declared_as_json_is_refused(http: httpx.AsyncClient, media_type: str | None) -> None:
    """A body must be declared as JSON: so a form of another website cannot book."""
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await http.post(BOOK, content=b'{"slot":"x"}', headers=headers)
    assert (answer.status_code, answer.json()) == (415, {"error": "Content-Type must be application/json"})


async def test_empty_body_is_an_empty_object(http: httpx.AsyncClient) -> None:
    """An empty body gets the 400 that names the missing fields, over HTTP as over NATS."""
    answer = await http.post(BOOK, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": "Missing slot or patientName"})


async def test_json_may_name_its_charset(http: httpx.AsyncClient) -> None:
    """Parameters of the media type are accepted."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (await http.post(BOOK, json=fresh(), headers=headers)).status_code == 201


@pytest.mark.parametrize("path", ["/api", "/api/nothing", f"{BOOK}/", "/api/appointments/"])
async def test_unknown_path_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    """A 404 has the shape of every refusal."""
    answer = await http.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})


async def test_wrong_method_is_refused(http: httpx.AsyncClient) -> None:
    """A 405 has the shape of every refusal, and `Allow` lists the methods."""
    answer = await http.get(BOOK)
    assert (answer.status_code, answer.json()) == (405, {"error": "Method not allowed"})
    assert answer.headers["Allow"] == "POST"


ONE = f"/api/appointments/{GET.example.id}"
GETS = [
    "/livez",
    "/readyz",
    "/docs",
    "/docs/",
    "/asyncapi",
    "/asyncapi/",
    "/openapi.json",
    "/asyncapi.json",
    "/docs/assets/swagger-ui-bundle.js",
    "/docs/assets/favicon.png",
    "/asyncapi/assets/asyncapi-viewer.iife.js",
    "/",
    "/api/grid",
    ONE,
    f"{ONE}/history",
    "/api/appointments?from=2030-01-07T00:00Z&to=2030-01-08T00:00Z&site=none",
    "/api/slots?from=2030-01-07T00:00Z&to=2030-01-08T00:00Z&site=none",
    "/api/slots",
    "/api/grid?colour=red",
    "/nothing",
    BOOK,
]


@pytest.mark.parametrize("path", GETS)
async def test_every_get_answers_head(http: httpx.AsyncClient, path: str) -> None:
    """HEAD gets the status and headers of GET, `Content-Length` included, without a body."""
    got, head = await http.get(path), await http.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for own in ("x-request-id", "date"):
        del got.headers[own], head.headers[own]
    assert dict(head.headers) == dict(got.headers)
    assert int(head.headers["content-length"]) == got.num_bytes_downloaded


async def test_metrics_answer_head(http: httpx.AsyncClient) -> None:
    """HEAD works for `/metrics` too, whose length every request changes."""
    head = await http.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/grid", "GET, HEAD"),
        (ONE, "DELETE, GET, HEAD, PATCH"),
        ("/livez", "GET, HEAD"),
        ("/docs/", "GET, HEAD"),
        ("/docs/assets/swagger-ui.css", "GET, HEAD"),
    ],
)
async def test_allow_names_head(http: httpx.AsyncClient, path: str, methods: str) -> None:
    """`Allow` of a 405 lists HEAD beside GET."""
    answer = await http.put(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, methods)


@pytest.mark.parametrize("page", ["/docs", "/docs/", "/asyncapi", "/asyncapi/"])
async def test_page_works_with_and_without_a_trailing_slash(http: httpx.AsyncClient, page: str) -> None:
    """The assets of a page are found from both of its addresses."""
    answer = await http.get(page)
    assert answer.status_code == 200
    named = set(re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", answer.text))
    assert len(named) >= 3
    for name in named:
        assert (await http.get(str(answer.url.join(name)))).status_code == 200, name


async def test_range_of_an_asset_can_be_read(http: httpx.AsyncClient) -> None:
    """A range gets 206; one beyond the end gets a 416 in the shape of every refusal."""
    path = "/docs/assets/swagger-ui.css"
    whole = await http.get(path)
    size = len(whole.content)
    for asked, part in (
        ("bytes=0-9", whole.content[:10]),
        (f"bytes={size - 5}-", whole.content[-5:]),
        ("bytes=-7", whole.content[-7:]),
        (f"bytes=10-{size + 99}", whole.content[10:]),
    ):
        answer = await http.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, part)
    for asked in (f"bytes={size}-", "bytes=99999999-", "bytes=-0"):
        answer = await http.get(path, headers={"Range": asked})
        assert answer.status_code == 416
        assert answer.json() == {"error": "Range lies beyond the end of the file"}
        assert answer.headers["Error-Type"] == "NoSuchRange"
        assert answer.headers["Content-Range"] == f"bytes */{size}"
    for asked in ("bytes=9-1", "bytes=x", "lines=0-1", "bytes=0-1,3-4", "bytes=-"):
        answer = await http.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (200, whole.content)
    known = await http.get(path, headers={"If-None-Match": whole.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("path", ["/api/grid?x=", f"{BOOK}?", "/api/appointments/", "/livez?", "/"])
async def test_long_uri_is_refused(http: httpx.AsyncClient, path: str) -> None:
    """A 414 has the shape of every refusal."""
    for method in ("GET", "POST"):
        answer = await http.request(method, path + "x" * 16_400)
        assert (answer.status_code, answer.json()) == (414, {"error": "URI is longer than 16 KiB"})
        assert answer.headers["Error-Type"] == "UriTooLong"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "Zebra"])
async def test_compressed_body_is_refused(http: httpx.AsyncClient, encoding: str) -> None:
    """A body with a `Content-Encoding` is refused, because the gateway does not decode it."""
    for method, path in (("POST", BOOK), ("POST", HOLD), ("POST", "/api/release-hold"), ("PATCH", ONE)):
        answer = await http.request(method, path, json=fresh(), headers={"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()) == (415, {"error": "Content-Encoding must be identity"})
    answer = await http.post(BOOK, json=fresh(), headers={"Content-Encoding": "Identity"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", ONE), ("GET", ONE), ("GET", f"{ONE}/history"), ("GET", "/api/grid"), ("GET", "/api/slots")],
)
async def test_body_is_refused_where_none_is_read(http: httpx.AsyncClient, method: str, path: str) -> None:
    """A call that reads only path and query refuses a body instead of ignoring it."""
    answer = await http.request(method, path, json={"site": "harbour"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("A body is not accepted here")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", HOLD),
        ("POST", "/api/release-hold"),
        ("DELETE", ONE),
        ("GET", ONE),
        ("GET", "/api/grid"),
        ("GET", "/api/appointments"),
    ],
)
async def test_key_is_refused_where_none_is_read(http: httpx.AsyncClient, method: str, path: str) -> None:
    """An `Idempotency-Key` that a call does not use is refused, because its caller relies on it."""
    body = fresh() if method == "POST" else None
    answer = await http.request(method, path, headers={"Idempotency-Key": "4711"}, json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "Idempotency-Key is not accepted here"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", BOOK),
        ("POST", HOLD),
        ("POST", "/api/release-hold"),
        ("GET", ONE),
        ("GET", "/api/appointments"),
    ],
)
async def test_version_is_refused_where_none_is_read(http: httpx.AsyncClient, method: str, path: str) -> None:
    """An `If-Match` that a call does not use is refused, because its caller relies on it."""
    body = fresh() if method == "POST" else None
    answer = await http.request(method, path, headers={"If-Match": '"1"'}, json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "If-Match is not accepted here"})
    assert answer.headers["Error-Type"] == "InvalidRequest"


@pytest.mark.parametrize("name", ["colour", "x" * 32, "x" * 33, "Zebra Canary", "é"])
async def test_unknown_parameter_is_echoed_like_an_unknown_field(http: httpx.AsyncClient, name: str) -> None:
    """At most 32 characters that look like a field's name are echoed, from the query as from the body."""
    echoed = f" {name}" if name.isascii() and name.isidentifier() and len(name) <= 32 else ""
    for path in ("/api/grid", ONE):
        answer = await http.get(path, params={name: "1"})
        assert (answer.status_code, answer.json()) == (400, {"error": f"Unknown field{echoed}"})
    answer = await http.post(BOOK, json={**fresh(), name: 1})
    assert (answer.status_code, answer.json()) == (400, {"error": f"Unknown field{echoed}"})


async def test_large_body_without_a_length_is_refused(http: httpx.AsyncClient) -> None:
    """A chunked body is cut off at 16 KiB."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 1024

    answer = await http.post(BOOK, content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


async def test_every_refusal_names_its_type(http: httpx.AsyncClient, http_caller: HttpCaller) -> None:
    """Every refusal has `Error-Type` for programs and a sentence for people, from gateway and worker."""
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


async def test_every_answer_has_its_request_id(http: httpx.AsyncClient) -> None:
    """A caller's hexadecimal request id is returned; any other value is replaced."""
    mine = "0123456789abcdef"
    answer = await http.post(BOOK, json={}, headers={"X-Request-Id": mine})
    assert answer.headers["X-Request-Id"] == mine
    answer = await http.post(BOOK, json={}, headers={"X-Request-Id": "Zebra Canary"})
    assert len(answer.headers["X-Request-Id"]) == 32


async def test_malformed_idempotency_key_is_refused(http_caller: HttpCaller) -> None:
    """A key is 1 to 255 printable ASCII characters; the sentence names the header."""
    for key in ("", "x" * 256):
        answer = await http_caller.book(fresh(), **{"Idempotency-Key": key})
        assert answer.status == 400
        assert answer.error.startswith("Idempotency-Key")


async def test_second_idempotency_key_is_refused(http: httpx.AsyncClient) -> None:
    """Two keys in one request are refused, because a retry might carry only one of them."""
    twice = [("Idempotency-Key", "first"), ("Idempotency-Key", "second")]
    answer = await http.post(BOOK, json=fresh(), headers=twice)
    assert (answer.status_code, answer.json()) == (400, {"error": "Idempotency-Key was sent more than once"})


async def test_key_is_no_field_of_the_body(http_caller: HttpCaller) -> None:
    """Over HTTP the key is a header; in the body it is an unknown field."""
    answer = await http_caller.book(fresh(idempotencyKey="k"))
    assert (answer.status, answer.error) == (400, "Unknown field idempotencyKey")


async def test_openapi_has_the_fields_and_outcomes_of_the_contract(http: httpx.AsyncClient) -> None:
    """The schema has the fields and outcomes of the contract, and no answer that is never sent."""
    schema = (await http.get("/openapi.json")).json()
    assert set(schema["components"]["schemas"]["SlotRequest"]["properties"]) == {
        "slot",
        "patientName",
        "site",
        "resources",
        "durationMinutes",
        "service",
        "contact",
        "holdToken",
    }
    refusals = {"400", "401", "403", "405", "408", "413", "414", "429", "503", "504"}
    assert set(schema["paths"][BOOK]["post"]["responses"]) == {"201", "409", "415", "422", *refusals}
    assert set(schema["paths"][HOLD]["post"]["responses"]) == {"200", "409", "415", *refusals}
    assert set(schema["paths"]["/api/appointments/{id}"]["get"]["responses"]) == {"200", "404", *refusals}
    assert "ValidationError" not in schema["components"]["schemas"]
