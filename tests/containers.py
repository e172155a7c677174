"""Servers in containers, through testcontainers."""

import time
from contextlib import closing, suppress
from typing import Any, ClassVar

import docker
from docker.errors import DockerException, ImageNotFound, NotFound
from pymongo import MongoClient
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import PortWaitStrategy

from deploy.initiate import initiate

SELF = "127.0.0.1:27017"
ANSWER_SECONDS = 10


def what_is_missing() -> str | None:
    """Return why containers cannot be used, or None. Disable Ryuk if its image is missing."""
    try:
        engine = docker.from_env(timeout=ANSWER_SECONDS)
        engine.ping()
    except (DockerException, OSError):
        return "no Docker engine answers"
    with closing(engine):
        for kind in (MongoContainer, RedisContainer, NatsContainer):
            if not _is_available(engine, kind.image):
                return f"Docker neither has {kind.image} nor can get it"
        if not _is_available(engine, testcontainers_config.ryuk_image):
            testcontainers_config.ryuk_disabled = True
    return None


def _is_available(engine: docker.DockerClient, image: str) -> bool:
    try:
        with suppress(ImageNotFound):
            engine.images.get(image)
            return True
        engine.images.get_registry_data(image)
    except (DockerException, OSError):
        return False
    return True


class _Container:
    image: str
    port: int
    command: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self._container = DockerContainer(self.image).with_exposed_ports(self.port)
        if self.command:
            self._container = self._container.with_command(self.command)

    @property
    def address(self) -> str:
        host, port = self._container.get_container_host_ip(), self._container.get_exposed_port(self.port)
        return f"{host}:{port}"

    def start(self) -> None:
        self._container.start()
        PortWaitStrategy(self.port).wait_until_ready(self._container)

    def stop(self) -> None:
        with suppress(NotFound):  # a slow engine removes it, and gets a second request
            self._container.stop()


class MongoContainer(_Container):
    image = "mongo:7"
    port = 27017
    command: ClassVar[list[str]] = ["mongod", "--replSet", "rs0", "--bind_ip_all"]

    @property
    def url(self) -> str:
        return f"mongodb://{self.address}/booking?directConnection=true"

    def start(self) -> None:
        super().start()
        with MongoClient[dict[str, Any]](self.url) as client:
            initiate(client, "rs0", [SELF])
            while not client.admin.command("hello")["isWritablePrimary"]:
                time.sleep(0.05)


class RedisContainer(_Container):
    image = "redis:7-alpine"
    port = 6379

    @property
    def url(self) -> str:
        return f"redis://{self.address}"


class NatsContainer(_Container):
    image = "nats:2.12-alpine"
    port = 4222
    command: ClassVar[list[str]] = ["--port", "4222", "--jetstream", "--store_dir", "/data"]

    @property
    def url(self) -> str:
        return f"nats://{self.address}"
