"""The key set of an issuer at a URL: fetched in the background, again for an unknown key, and bounded."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from structlog.testing import capture_logs

from gateway.access import jwks
from gateway.access.jwks import FetchedKeySet

FIRST, SECOND = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


def key_set(**keys: Any) -> bytes:
    """Return the JSON of a set with these keys by id."""
    listed = [{**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": id} for id, key in keys.items()]
    return json.dumps({"keys": listed}).encode()


class Issuer:
    """An issuer with these answers in turn; the last one stays. `asked` counts its requests."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.asked = 0
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Issuer"]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        writer.write(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
        writer.close()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "SOONEST_SECONDS", 0.05)


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the set has no event of its changes
            await asyncio.sleep(0.01)


async def test_set_is_fetched_again_for_an_unknown_key() -> None:
    """A new key of the issuer is valid after the first token with it."""
    async with Issuer(answer(key_set(a=FIRST)), answer(key_set(a=FIRST, b=SECOND))).running() as issuer:
        keys = FetchedKeySet(issuer.url)
        async with keys.following():
            await until(lambda: "a" in keys.keys)
            assert "b" not in keys.keys
            keys.miss()
            await until(lambda: "b" in keys.keys)
    assert issuer.asked == 2


async def test_unknown_keys_do_not_flood_the_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens name unknown keys, two fetches are `SOONEST_SECONDS` apart."""
    async with Issuer(answer(key_set(a=FIRST))).running() as issuer:
        keys = FetchedKeySet(issuer.url)
        async with keys.following():
            await until(lambda: issuer.asked == 1 and keys.keys)
            monkeypatch.setattr(jwks, "SOONEST_SECONDS", 3600)
            for _ in range(1000):
                keys.miss()
            await asyncio.sleep(0.3)
    assert issuer.asked <= 2


@pytest.mark.parametrize(
    "bad",
    [
        answer(b"", "503 Service Unavailable"),
        answer(b"", "302 Found", "Location: /elsewhere"),
        answer(b"{}"),
        answer(b'{"keys":[]}'),
        answer(b"<html>"),
        answer(b" " * (jwks.LARGEST_SET + 1)),
        b"nonsense",
        b"",
    ],
    ids=["503", "redirect", "no set", "empty", "page", "large", "no HTTP", "closed"],
)
async def test_failed_fetch_keeps_the_last_set(bad: bytes) -> None:
    """An issuer that is away, redirects, or sends something else locks nobody out."""
    async with Issuer(answer(key_set(a=FIRST)), bad).running() as issuer:
        keys = FetchedKeySet(issuer.url)
        with capture_logs() as lines:
            async with keys.following():
                await until(lambda: keys.keys)
                keys.miss()
                await until(lambda: lines)
        assert set(keys.keys) == {"a", None}
    assert {line["event"] for line in lines} == {"jwks_not_fetched"}


def test_control_token_of_a_fetched_key_is_verified() -> None:
    """The keys of a set verify tokens that their owners signed."""
    key = jwks.parse_key_set(key_set(a=FIRST))["a"]
    token = jwt.encode({"sub": "a"}, FIRST, algorithm="ES256")
    assert jwt.decode(token, key, algorithms=["ES256"]) == {"sub": "a"}
