"""Run mongod as a replica set of one: durable and retryable writes need a set."""

import json
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.initiate import initiate
from deploy.local.embedded import EmbeddedServer
from deploy.local.ports import LOOPBACK

SET_NAME = "rs0"
DATABASE = "booking"
NOT_YET_INITIALIZED = 94


class Mongod(EmbeddedServer):
    """mongod with a small cache, initiated at its first start."""

    cache_gb = 0.25

    kind = "mongod"
    binary = "mongod"

    @property
    def url(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.port}/{DATABASE}?replicaSet={SET_NAME}"

    def options(self, port: int) -> list[str]:
        return [
            *("--bind_ip", LOOPBACK, "--port", str(port), "--nounixsocket"),
            *("--dbpath", str(self.data_dir), "--wiredTigerCacheSizeGB", str(self.cache_gb)),
            *("--replSet", SET_NAME, "--oplogSize", "256"),
            # The log line of a slow operation would contain its whole query, including a patient's name.
            *("--slowOpSampleRate", "0"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false", "--quiet"),
        ]

    def look(self, port: int) -> str | None:
        try:
            with MongoClient[dict[str, Any]](
                LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=500, socketTimeoutMS=5000
            ) as client:
                if client.admin.command("hello")["isWritablePrimary"]:
                    return None
                _configure(client, f"{LOOPBACK}:{port}")
                return "is not primary yet"
        except PyMongoError:
            return "does not answer yet"

    def error_line(self, lines: list[str]) -> str:
        for line in reversed(lines):
            try:
                entry = json.loads(line)
                severity = entry["s"]
            except (ValueError, TypeError, KeyError):
                return line.strip()
            if severity in "EF":
                details = entry.get("attr", {})
                reasons = [str(details[key]) for key in ("error", "msg") if key in details]
                return ": ".join([entry["msg"], *reasons])
        return super().error_line(lines)


def _configure(client: MongoClient[dict[str, Any]], address: str) -> None:
    """Make this server the set's only member, at its present address, which a restart may have changed."""
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        initiate(client, SET_NAME, [address])
        return
    member = config["members"][0]
    if member["host"] != address:
        moved = {**config, "version": config["version"] + 1, "members": [{**member, "host": address}]}
        client.admin.command("replSetReconfig", moved, force=True)
