"""Embedded servers keep their port and data, and log no name."""

from pathlib import Path

import pytest
from pymongo import MongoClient

from deploy.local.embedded import EmbeddedServer
from deploy.local.mongod import Mongod
from deploy.local.nats import Nats
from deploy.local.ports import free_port
from deploy.local.redis import Redis


def test_mongod_logs_no_name_of_a_slow_operation(tmp_path: Path) -> None:
    """mongod does not log the query of a slow operation; the control, which samples all, does."""
    with Mongod(tmp_path) as mongod, MongoClient[dict[str, object]](mongod.url) as client:
        for name, options in (("Ada Lovelace", {}), ("Grace Hopper", {"sampleRate": 1.0})):
            client.booking.command({"profile": 0, "slowms": -1, **options})
            client.booking.appointments.insert_one({"patientName": name})
            assert client.booking.appointments.find_one({"patientName": name})
        log = mongod.log_file.read_text()
    assert "Ada Lovelace" not in log
    assert "Grace Hopper" in log


@pytest.mark.parametrize("kind", [Mongod, Redis, Nats])
def test_an_embedded_server_keeps_its_port(kind: type[EmbeddedServer], tmp_path: Path) -> None:
    """An embedded server that is killed restarts at the same address."""
    with kind(tmp_path) as server:
        url = server.url
        server.kill()
        assert not server.running
        assert server.start().url == url


def test_mongod_serves_its_data_on_another_port(tmp_path: Path) -> None:
    """The data of a one-node replica set can be served on another port."""
    with Mongod(tmp_path) as mongod, MongoClient[dict[str, int]](mongod.url) as client:
        client.booking.things.insert_one({"thing": 1})
    with Mongod(tmp_path, port=free_port()) as moved, MongoClient[dict[str, int]](moved.url) as client:
        assert moved.port != mongod.port
        assert client.booking.things.count_documents({"thing": 1}) == 1
        client.booking.things.insert_one({"thing": 2})


def test_an_embedded_server_that_cannot_start_gives_the_reason(tmp_path: Path) -> None:
    """A second mongod on the same data fails with one line that has mongod's reason."""
    with Mongod(tmp_path), pytest.raises(Exception, match="mongod does not start: .*DBPathInUse") as refused:
        Mongod(tmp_path, log_file=tmp_path / "second.log").start()
    assert "\n" not in str(refused.value)
