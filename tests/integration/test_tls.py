"""TLS between all parts: the services verify their servers, and speak to none in plain text."""

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.redis import Redis
from shared.client.client import BookingClient
from shared.process.nats_options import NatsOptions
from shared.process.nats_wire import GuardedClient, NotEncrypted
from tests.integration.breakable import until
from tests.servers import Servers
from tests.stack import Stack
from tests.tls import Certificates, TlsMongod, TlsNats, tls_before

SLOT = {"slot": "2031-03-03T09:00:00Z", "durationMinutes": 30, "patientName": "Ada Lovelace"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def other_certificates(tmp_path: Path) -> Certificates:
    """Make certificates of an authority that nobody trusts."""
    return Certificates.make(tmp_path / "other")


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[TlsNats]:
    with TlsNats(tmp_path_factory.mktemp("nats"), certificates) as server:
        yield server


@pytest.fixture(scope="module")
async def tls_stack(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, nats_server: TlsNats
) -> AsyncIterator[Stack]:
    """Start every service with TLS to every server, and a gateway that serves https."""
    folder = tmp_path_factory.mktemp("servers")
    async with AsyncExitStack() as closing:
        mongod = closing.enter_context(TlsMongod(folder / "mongod", certificates))
        redis = closing.enter_context(Redis(folder / "redis"))
        tls_port = await closing.enter_async_context(tls_before(redis.port, certificates))
        port = free_port()
        env = {
            "MONGO_URI": mongod.url,
            "REDIS_URL": f"rediss://{LOOPBACK}:{tls_port}?ssl_ca_certs={certificates.ca}",
            "NATS_URL": nats_server.url,
            "NATS_CA_FILE": str(certificates.ca),
            "NATS_CERT_FILE": str(certificates.client),
            "NATS_KEY_FILE": str(certificates.client),
            "TLS_CERT_FILE": str(certificates.cert),
            "TLS_KEY_FILE": str(certificates.key),
            "PORT": str(port),
        }
        stack = Stack(env, ExitStack(), url=f"https://{LOOPBACK}:{port}")
        try:
            for kind in ("gateway", "booking_worker", "hold_worker", "booking_worker.events"):
                stack.start(kind)
            await asyncio.to_thread(stack.wait_serving)
            with httpx.Client(verify=certificates.client_context()) as client:
                await until(lambda: client.get(f"{stack.url}/readyz").is_success, "the gateway is ready")
            yield stack
        finally:
            await asyncio.to_thread(stack.__exit__)


@pytest.fixture
async def https(tls_stack: Stack, certificates: Certificates) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=tls_stack.url, verify=certificates.client_context(), timeout=20
    ) as client:
        yield client


async def test_a_booking_crosses_tls_only(
    https: httpx.AsyncClient, tls_stack: Stack, certificates: Certificates
) -> None:
    """A hold, its booking and the event cross five encrypted connections."""
    context = certificates.client_context()
    context.load_cert_chain(certificates.client)
    async with BookingClient(tls_stack.env["NATS_URL"], tls=context) as client:
        held = await https.post("/api/hold-appointment", json=SLOT)
        token = held.json()["hold"]["token"]
        booked = await https.post("/api/book-appointment", json={**SLOT, "holdToken": token})
        assert (held.status_code, booked.status_code) == (200, 201)
        async with asyncio.timeout(20):
            event = await anext(aiter(client.events(since="2020-01-01T00:00Z")))
        assert event.id == booked.json()["appointment"]["id"]


@pytest.mark.parametrize("module", ["shared.cli", "tests.proof.race"])
async def test_untrusted_certificate_is_named_and_ssl_cert_file_trusts_it(
    tls_stack: Stack, certificates: Certificates, module: str
) -> None:
    """A command names the reason instead of "no gateway answers"; with SSL_CERT_FILE it is served."""
    url = tls_stack.url
    words = (
        ["day", "--url", url] if module == "shared.cli" else ["--url", url, "--nats", "nats://127.0.0.1:1"]
    )

    async def run(**env: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *words),
            env={**os.environ, **env},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await process.communicate()
        return process.returncode, stderr.decode()

    status, stderr = await run()
    assert status == (3 if module == "shared.cli" else 2)
    assert stderr.startswith(f"{url}: its certificate is not trusted (")
    assert stderr.endswith("SSL_CERT_FILE names the authority\n")
    assert await run(SSL_CERT_FILE=str(certificates.ca)) == (0, "")


async def test_https_response_demands_https(https: httpx.AsyncClient) -> None:
    """A browser that was here by https does not come back by http."""
    for path in ("/livez", "/docs", "/api/nothing"):
        assert (await https.get(path)).headers["strict-transport-security"] == "max-age=31536000"


async def test_http_response_demands_no_https(http: httpx.AsyncClient) -> None:
    """Without TLS the header would lock browsers out."""
    assert "strict-transport-security" not in (await http.get("/livez")).headers


async def test_gateway_with_a_certificate_answers_no_plain_request(tls_stack: Stack) -> None:
    """With TLS_CERT_FILE, the port serves TLS and nothing else."""
    with pytest.raises(httpx.TransportError):
        async with httpx.AsyncClient() as client:
            await client.get(tls_stack.url.replace("https:", "http:") + "/livez")


async def test_connection_without_a_handshake_is_closed(tls_stack: Stack) -> None:
    """A caller that opens a connection and says nothing takes it for a bounded time."""
    port = int(tls_stack.env["PORT"])

    def wait_for_the_end() -> bytes:
        with socket.create_connection((LOOPBACK, port), timeout=30) as connection:
            return connection.recv(1)

    assert await asyncio.to_thread(wait_for_the_end) == b""


async def test_certificate_of_a_stranger_is_refused(
    nats_server: TlsNats, certificates: Certificates, other_certificates: Certificates
) -> None:
    """A client refuses a NATS whose certificate is of an authority that was not named."""
    assert (
        await _refusal(nats_server.url, other_certificates.client_context()) is ssl.SSLCertVerificationError
    )
    context = certificates.client_context()
    context.load_cert_chain(certificates.client)
    assert await _refusal(nats_server.url, context) is None


async def test_server_that_offers_no_tls_is_refused(servers: Servers) -> None:
    """An attacker on the network cannot take TLS away: the client refuses, and has sent nothing."""
    with servers.new_stack() as stack:
        plain = stack.env["NATS_URL"]
        assert await _refusal(plain, None) is None
        assert await _refusal(plain, ssl.create_default_context()) is NotEncrypted
        assert await _refusal(plain.replace("nats://", "tls://"), None) is NotEncrypted


async def test_control_nats_py_alone_goes_on_in_plain_text(servers: Servers) -> None:
    """Control: a client of nats-py with a `tls://` URL connects to a server without TLS."""
    with servers.new_stack() as stack:
        url = stack.env["NATS_URL"].replace("nats://", "tls://")
        assert await _refusal(url, None, Client()) is None


async def _refusal(
    url: str, context: ssl.SSLContext | None, client: Client | None = None
) -> type[Exception] | None:
    """Connect once; return the class of the failure, or None."""
    connection = client or GuardedClient()
    failures = asyncio.Queue[type[Exception] | None]()
    options = NatsOptions(url, "test", tls=context).connect

    async def failed(error: Exception) -> None:
        failures.put_nowait(type(error))

    async def connect() -> None:
        await connection.connect(**{**options, "error_cb": failed})
        failures.put_nowait(None)

    connecting = asyncio.create_task(connect())
    try:
        async with asyncio.timeout(20):
            return await failures.get()
    finally:
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        await connection.close()
