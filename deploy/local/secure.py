"""Give NATS accounts: `make up SECURE=1`."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.errors import StackError
from deploy.nats_access.files import CONFIGURATION, access_file, client_file, write_access
from deploy.nats_access.permissions import USERS
from shared.contract.caller import Scope
from shared.process.api_keys import ApiKey, read_keys, write_keys
from shared.process.watched_file import InvalidFile

KEYS = "API_KEYS_FILE"
LOCAL_CLIENT = "local-client"


@dataclass(frozen=True)
class SecureNats:
    """The files of a NATS with accounts."""

    folder: Path
    keys_file: Path
    client: str | None

    @property
    def configuration(self) -> Path:
        """The configuration of nats-server."""
        return self.folder / CONFIGURATION

    @property
    def client_file(self) -> str:
        """The access file of a direct client on this machine, for `make env`; empty if there is no client."""
        return str(client_file(self.folder, self.client)) if self.client else ""

    def environment(self, kind: str) -> dict[str, str]:
        """Return the variables of a service.

        Workers read the keys of direct clients in any case. A gateway with keys would ask its callers for
        one, which is for the environment to decide.
        """
        keys = {} if kind == "gateway" else {KEYS: str(self.keys_file)}
        return {"NATS_ACCESS_FILE": str(access_file(self.folder, USERS[kind])), **keys}


def secure_nats(folder: Path) -> SecureNats:
    """Write the files: for the clients in `API_KEYS_FILE`, or else for one client with all permissions.

    Raises:
        StackError: the file with the keys is wrong.
    """
    given = os.environ.get(KEYS)
    keys_file = Path(given) if given else folder / "keys.json"
    if not given:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        write_keys(keys_file, [_local_client()])
    try:
        clients = write_access(folder, read_keys(keys_file))
    except InvalidFile as error:
        raise StackError(f"{KEYS}: {error}") from None
    return SecureNats(folder, keys_file, clients[0] if clients else None)


def _local_client() -> ApiKey:
    created = datetime.now(UTC).replace(microsecond=0)
    return ApiKey(
        id=LOCAL_CLIENT, name=LOCAL_CLIENT, scopes=frozenset(Scope), sites="all", created=created, nats=True
    )
