"""Write the configuration of nats-server and the access files of its users."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import nkeys

from deploy.nats_access import permissions
from shared.contract.caller import Scope
from shared.process.api_keys import ApiKey
from shared.process.nats_access import SERVICE, read_access

CONFIGURATION = "nats.conf"
CLIENTS = "clients"
SEED_BYTES = 32


def write_access(folder: Path, keys: Iterable[ApiKey] = (), *, readable: bool = False) -> list[str]:
    """Write `nats.conf`, a file for each service, and `clients/<id>.json` for each key with `nats`.

    Users keep their seeds: delete a user's file to give it a new one. The configuration has public keys only.
    Only the owner enters the folder. With `readable`, other users may read the files of the services, because
    containers have other users.

    Returns:
        The ids of the clients.
    """
    now = datetime.now(UTC)
    clients = {key.id: Scope.EVENTS in key.scopes for key in keys if key.nats and not key.has_expired(now)}
    for each in (folder, folder / CLIENTS):
        each.mkdir(0o700, parents=True, exist_ok=True)
        each.chmod(0o700)
    for old in (folder / CLIENTS).glob("*.json"):
        if old.stem not in clients:
            old.unlink()
    accounts: permissions.Config = {
        SERVICE: {
            "jetstream": "enabled",
            "users": [
                {"nkey": _public_key(access_file(folder, user), SERVICE, user), "permissions": allowed}
                for user, allowed in permissions.services().items()
            ],
            "exports": permissions.exports(client for client, reads in clients.items() if reads),
        }
    }
    for user in permissions.services() if readable else ():
        access_file(folder, user).chmod(0o444)
    for client, reads in clients.items():
        nkey = _public_key(client_file(folder, client), client, client)
        accounts[client] = {
            "users": [{"nkey": nkey, "permissions": permissions.client(client, events=reads)}],
            "imports": permissions.imports(client, events=reads),
        }
    # JSON is a subset of the language of the configuration.
    _replace(folder / CONFIGURATION, json.dumps({"accounts": accounts}, indent=1), 0o644)
    return sorted(clients)


def access_file(folder: Path, user: str) -> Path:
    """Return the access file of a service."""
    return folder / f"{user}.json"


def client_file(folder: Path, id: str) -> Path:
    """Return the access file of a direct client."""
    return folder / CLIENTS / f"{id}.json"


def _public_key(file: Path, account: str, user: str) -> str:
    """Return the public key of a user, whose access file is made if it does not exist."""
    seed = ""
    with suppress(ValueError):
        seed = read_access(file).seed.get_secret_value()
    if not seed:
        seed = nkeys.encode_seed(os.urandom(SEED_BYTES), nkeys.PREFIX_BYTE_USER).decode()
        _replace(file, json.dumps({"account": account, "user": user, "seed": seed}, indent=1), 0o600)
    return str(nkeys.from_seed(bytearray(seed.encode())).public_key.decode())


def _replace(file: Path, text: str, mode: int) -> None:
    """Replace a file at once, which nobody else reads before it has its mode."""
    new = file.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:  # noqa: PTH123
        opened.write(f"{text}\n")
    new.chmod(mode)
    new.replace(file)
