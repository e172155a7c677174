"""What only HTTP has: media types, methods, headers, documentation."""

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
    """HEAD gets the status and the headers of GET, the length of its body included, and no body."""
    got, head = await http.get(path), await http.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for own in ("x-request-id", "date"):
        del got.headers[own], head.headers[own]
    assert dict(head.headers) == dict(got.headers)
    assert int(head.headers["content-length"]) == len(got.content)


async def test_metrics_answer_head(http: httpx.AsyncClient) -> None:
    """So do metrics, which another request changes."""
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
    """405 names HEAD beside GET."""
    answer = await http.put(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, methods)


@pytest.mark.parametrize("page", ["/docs", "/docs/", "/asyncapi", "/asyncapi/"])
async def test_a_page_works_with_and_without_a_slash_at_its_end(http: httpx.AsyncClient, page: str) -> None:
    """What the page names is found from either of its addresses."""
    answer = await http.get(page)
    assert answer.status_code == 200
    named = set(re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", answer.text))
    assert len(named) >= 3
    for name in named:
        assert (await http.get(str(answer.url.join(name)))).status_code == 200, name


async def test_a_part_of_an_asset_can_be_read(http: httpx.AsyncClient) -> None:
    """A range is answered with 206; one beyond the end is refused in the shape of every other refusal."""
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
async def test_a_long_uri_is_refused(http: httpx.AsyncClient, path: str) -> None:
    """414 has the shape of every other refusal."""
    for method in ("GET", "POST"):
        answer = await http.request(method, path + "x" * 16_400)
        assert (answer.status_code, answer.json()) == (414, {"error": "URI is longer than 16 KiB"})
        assert answer.headers["Error-Type"] == "UriTooLong"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "Zebra"])
async def test_a_compressed_body_is_refused(http: httpx.AsyncClient, encoding: str) -> None:
    """An encoding of the body is not passed over: it could be meant, and is not read."""
    for method, path in (("POST", BOOK), ("POST", HOLD), ("POST", "/api/release-hold"), ("PATCH", ONE)):
        answer = await http.request(method, path, json=fresh(), headers={"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()) == (415, {"error": "Content-Encoding must be identity"})
    answer = await http.post(BOOK, json=fresh(), headers={"Content-Encoding": "Identity"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", ONE), ("GET", ONE), ("GET", f"{ONE}/history"), ("GET", "/api/grid"), ("GET", "/api/slots")],
)
async def test_a_body_is_refused_where_none_is_read(http: httpx.AsyncClient, method: str, path: str) -> None:
    """What somebody asks for in a body is not passed over where only path and query count."""
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
async def test_a_key_is_refused_where_none_is_taken(http: httpx.AsyncClient, method: str, path: str) -> None:
    """A caller who sends an `Idempotency-Key` relies on it: it is not passed over."""
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
async def test_a_version_is_refused_where_none_is_taken(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    """A caller who sends an `If-Match` relies on it: nothing is done as if it had not been sent."""
    body = fresh() if method == "POST" else None
    answer = await http.request(method, path, headers={"If-Match": '"1"'}, json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "If-Match is not accepted here"})
    assert answer.headers["Error-Type"] == "InvalidRequest"


@pytest.mark.parametrize("name", ["colour", "x" * 32, "x" * 33, "Zebra Canary", "é"])
async def test_an_unknown_parameter_is_echoed_like_an_unknown_field(
    http: httpx.AsyncClient, name: str
) -> None:
    """At most 32 characters of what looks like a field's name, in the query as in the body."""
    echoed = f" {name}" if name.isascii() and name.isidentifier() and len(name) <= 32 else ""
    for path in ("/api/grid", ONE):
        answer = await http.get(path, params={name: "1"})
        assert (answer.status_code, answer.json()) == (400, {"error": f"Unknown field{echoed}"})
    answer = await http.post(BOOK, json={**fresh(), name: 1})
    assert (answer.status_code, answer.json()) == (400, {"error": f"Unknown field{echoed}"})


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
    refusals = {"400", "405", "408", "413", "414", "503", "504"}
    assert set(schema["paths"][BOOK]["post"]["responses"]) == {"201", "409", "415", "422", *refusals}
    assert set(schema["paths"][HOLD]["post"]["responses"]) == {"200", "409", "415", *refusals}
    assert set(schema["paths"]["/api/appointments/{id}"]["get"]["responses"]) == {"200", "404", *refusals}
    assert "ValidationError" not in schema["components"]["schemas"]
