"""Servers in containers, through testcontainers."""

import time
from contextlib import suppress
from typing import ClassVar

import docker
from docker.errors import DockerException, NotFound
from pymongo import MongoClient
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import PortWaitStrategy

SELF = "127.0.0.1:27017"


def docker_answers() -> bool:
    """Whether a Docker engine is there."""
    try:
        docker.from_env(timeout=5).ping()
    except DockerException:
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
        with suppress(NotFound):  # a slow engine removes it, and is asked once more
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
        with MongoClient[dict[str, object]](self.url) as client:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": SELF}]})
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

    @property
    def url(self) -> str:
        return f"nats://{self.address}"
