"""Certificates made for one test, and servers that use them."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import trustme
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.initiate import initiate
from deploy.local.mongod import SET_NAME, Mongod
from deploy.local.nats import Nats
from deploy.local.ports import LOOPBACK


@dataclass(frozen=True)
class Certificates:
    """An authority, a server's certificate for this machine, and a client's, as files of PEM."""

    ca: Path
    cert: Path
    key: Path
    client: Path
    """The client's certificate and its key in one file."""

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        folder.mkdir(parents=True, exist_ok=True)
        names = [folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem")]
        ca, cert, key, client = names
        authority = trustme.CA()
        authority.cert_pem.write_to_path(ca)
        server = authority.issue_cert(LOOPBACK, "localhost")
        server.private_key_pem.write_to_path(key)
        for number, blob in enumerate(server.cert_chain_pems):
            blob.write_to_path(cert, append=number > 0)
        authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(client)
        return cls(ca, cert, key, client)

    @property
    def both(self) -> Path:
        """The server's key and certificate in one file, as MongoDB wants them."""
        both = self.cert.with_name("both.pem")
        both.write_bytes(self.key.read_bytes() + self.cert.read_bytes())
        return both

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


class TlsNats(Nats):
    """A NATS that serves only clients with a certificate of the authority."""

    def __init__(self, data_dir: Path, certificates: Certificates) -> None:
        super().__init__(data_dir)
        self._certificates = certificates

    @property
    def url(self) -> str:
        return f"tls://{LOOPBACK}:{self.port}"

    def options(self, port: int) -> list[str]:
        files = self._certificates
        given = {"--tlscert": files.cert, "--tlskey": files.key, "--tlscacert": files.ca}
        return [
            *super().options(port),
            "--tlsverify",
            *(str(word) for pair in given.items() for word in pair),
        ]


class TlsMongod(Mongod):
    """A mongod that takes no plain connection and verifies its clients' certificates."""

    def __init__(self, data_dir: Path, certificates: Certificates) -> None:
        super().__init__(data_dir)
        self._certificates = certificates

    @property
    def url(self) -> str:
        return f"{super().url}&{urlencode(self._client_options())}"

    def _client_options(self) -> dict[str, str]:
        return {
            "tls": "true",
            "tlsCAFile": str(self._certificates.ca),
            "tlsCertificateKeyFile": str(self._certificates.client),
        }

    def options(self, port: int) -> list[str]:
        files = self._certificates
        return [
            *super().options(port),
            *("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(files.both)),
            *("--tlsCAFile", str(files.ca)),
        ]

    def look(self, port: int) -> str | None:
        uri = f"mongodb://{LOOPBACK}:{port}/?directConnection=true&{urlencode(self._client_options())}"
        try:
            with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=500) as client:
                if client.admin.command("hello")["isWritablePrimary"]:
                    return None
                initiate(client, SET_NAME, [f"{LOOPBACK}:{port}"])
                return "is not primary yet"
        except PyMongoError:
            return "does not answer yet"


@asynccontextmanager
async def tls_before(port: int, certificates: Certificates) -> AsyncIterator[int]:
    """Serve TLS before a plain server of this machine; yield the port. (Valkey's wheel has no TLS.)"""
    tasks = set[asyncio.Task[None]]()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(LOOPBACK, port)
        for ends in ((reader, to_server), (from_server, writer)):
            task = asyncio.create_task(forward(*ends))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, LOOPBACK, ssl=certificates.server_context())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in [*tasks]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
