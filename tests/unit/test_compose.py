"""The compose file's promises to an operator, and what it takes from every container."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from annotated_types import Le

from deploy import passwords
from deploy.mongo_users import ROLES
from deploy.nats_access.files import write_access
from deploy.nats_access.permissions import USERS
from shared.process.gateway_settings import AccessSettings
from shared.process.settings import NatsSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service["image"] == "slotkeeper"}
STORES = {"mongo", "redis"}
KEYS = "${KEYS:-./keys}:/keys:ro"
"""The folder of the digests of API keys, which a container reads."""
PINNED = re.compile(r"\$\{\w+:-\w+:\d+\.\d+\.\d+[\w.-]*\}")


def networks(name: str) -> set[str]:
    """Return the networks of a container; one that shares those of another has the same."""
    shared = SERVICES[name].get("network_mode", "")
    return networks(shared.removeprefix("service:")) if shared else set(SERVICES[name]["networks"])


def weaknesses(service: dict[str, Any]) -> Iterator[str]:
    """Yield what a container has that an intruder in it could use."""
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", str(service.get("user", ""))):
        yield "may be root"
    if service.get("read_only") is not True:
        yield "can write its image"
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
        yield "has capabilities"
    if service.get("security_opt") != ["no-new-privileges:true"]:
        yield "can gain privileges"
    if service.get("privileged") or service.get("pid") or service.get("ipc") or service.get("devices"):
        yield "reaches the host"
    if not service.get("mem_limit") or not 0 < service.get("pids_limit", 0) <= 4096:
        yield "has no limits"
    mounted = {str(volume).partition(":")[0] for volume in service.get("volumes", ()) if volume != KEYS}
    if not mounted <= set(COMPOSE["volumes"]):
        yield "mounts a folder of the host"


@pytest.mark.parametrize("name", SERVICES)
def test_container_is_hardened(name: str) -> None:
    """A container has no root, no capabilities, a read-only image, and limits of memory and processes."""
    assert list(weaknesses(SERVICES[name])) == []


def test_control_weak_container_is_found() -> None:
    """Control: each hardening that a container lacks is named."""
    assert len(list(weaknesses({"volumes": ["/var/run/docker.sock:/x"], "privileged": True}))) == 7
    weak = {**SERVICES["gateway"], "user": "0:0", "cap_add": ["NET_ADMIN"]}
    assert list(weaknesses(weak)) == ["may be root", "has capabilities"]


def test_only_the_gateway_is_published_and_on_loopback() -> None:
    """No other container has a port of the host, or the host's network."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"gateway": ["${HOST:-127.0.0.1}:${PORT:-3000}:3000"]}
    shared = {
        name: service["network_mode"] for name, service in SERVICES.items() if "network_mode" in service
    }
    assert shared == {"mongo-init": "service:mongo"}


def test_stores_are_reached_by_their_users_only() -> None:
    """Gateway, webhooks and notices reach neither store, and no network of the stores has a way out."""
    internal = {name for name, network in COMPOSE["networks"].items() if (network or {}).get("internal")}
    assert internal == {"stores", "commands"}
    assert {name for name in SERVICES if "stores" in networks(name)} - STORES == {
        "booking_worker",
        "hold_worker",
        "mongo-init",
        "operator",
        "relay",
    }
    assert {name for name in SERVICES if not networks(name) <= internal} == {
        *("gateway", "notify"),
        "webhooks",
    }


def test_every_image_is_pinned_by_its_version() -> None:
    """Two starts on two days run the same versions, and a variable can name a digest."""
    for name in SERVICES.keys() - OURS:
        assert PINNED.fullmatch(SERVICES[name]["image"]), name
    assert PINNED.fullmatch(SERVICES["mongo-init"]["build"]["args"]["BASE"])
    base = SERVICES["mongo-init"]["build"]["args"]["BASE"].partition(":-")[2].rstrip("}")
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert f"ARG BASE={base}\n" in dockerfile
    assert f"\nUSER {SERVICES['gateway']['user']}\n" in dockerfile


def test_every_process_has_its_own_password_and_no_other() -> None:
    """A process gets the secrets of its own user, as files; the administrator's is the initiation's."""
    for name in OURS - {"mongo-init"}:
        own = {f"mongo_uri_{name}", f"redis_url_{name}"} & set(COMPOSE["secrets"])
        assert set(SERVICES[name].get("secrets", [])) == own, name
        files = {
            key: value
            for key, value in SERVICES[name]["environment"].items()
            if value and key.endswith(("_URI_FILE", "_URL_FILE"))
        }
        assert set(files.values()) == {f"/run/secrets/{secret}" for secret in own}, name
    assert set(SERVICES["mongo-init"]["secrets"]) == {f"mongo_uri_{user}" for user in ("admin", *ROLES)}
    assert SERVICES["redis"]["secrets"] == ["redis_users"]
    assert "--aclfile /run/secrets/redis_users" in SERVICES["redis"]["command"]
    assert "--keyFile" in SERVICES["mongo"]["command"][-1]


def test_gateway_gets_every_setting_of_access() -> None:
    """Keys, JWTs, links, origins, proxies and limits can be set; the file of a key set is `JWKS_URL` here."""
    wanted = {name.upper() for name in AccessSettings.model_fields} - {"JWKS_FILE"}
    assert not wanted - SERVICES["gateway"]["environment"].keys()


def test_no_password_stands_in_the_file() -> None:
    """Every secret is a file of the folder that `deploy.passwords` makes; without it compose refuses."""
    made = {f"mongo_uri_{user}" for user in passwords.MONGO_USERS}
    made |= {f"redis_url_{user}" for user in passwords.REDIS_USERS} | {"redis_users"}
    assert set(COMPOSE["secrets"]) == made
    files = [secret["file"] for secret in COMPOSE["secrets"].values()]
    assert all(file.startswith("${SECRETS") for file in files)
    assert sum("${SECRETS:?" in file for file in files) == 1
    assert not re.search(r"://[^/\s]*@", (DEPLOY / "compose.yaml").read_text())


def test_no_service_has_a_fixed_name() -> None:
    """A service without state can be scaled."""
    assert not any("container_name" in service for service in SERVICES.values())


def test_redis_never_evicts_a_hold() -> None:
    """An eviction would end a hold early and silently."""
    assert "--maxmemory-policy noeviction" in SERVICES["redis"]["command"]


def test_stop_grace_period_covers_the_longest_timeout() -> None:
    """Compose cannot compute, so the grace period fits the longest REQUEST_TIMEOUT_SECONDS."""
    bounds = NatsSettings.model_fields["request_timeout_seconds"].metadata
    longest = next(bound.le for bound in bounds if isinstance(bound, Le))
    seconds = NatsSettings(request_timeout_seconds=longest).stop_seconds
    for name in OURS:
        assert SERVICES[name]["stop_grace_period"] == f"{seconds:.0f}s"


def test_server_has_a_health_check() -> None:
    """A service starts once the servers that it depends on answer."""
    for name in ("mongo", "redis", "nats"):
        assert SERVICES[name]["healthcheck"]["test"], name
    for service in SERVICES.values():
        for needed in service.get("depends_on", {}).values():
            assert needed["condition"] != "service_started"


def test_closed_nats_gives_each_service_its_own_file(tmp_path: Path) -> None:
    """Each process that uses NATS gets the access file of its user, and NATS the configuration."""
    closed = yaml.safe_load((DEPLOY / "compose.nats.yaml").read_text())
    write_access(tmp_path)
    users = {name: USERS[service["command"][2]] for name, service in SERVICES.items() if uses_nats(service)}
    for name, user in users.items():
        assert closed["services"][name]["secrets"] == [f"nats_{user}"]
        path = f"/run/secrets/nats_{user}"
        assert closed["services"][name]["environment"] == {"NATS_ACCESS_FILE": path}
    assert closed["services"].keys() == {*users, "nats"}
    files = {secret["file"].removeprefix("${SECRETS}/nats/") for secret in closed["secrets"].values()}
    assert files <= {path.name for path in tmp_path.iterdir()}
    command = closed["services"]["nats"]["command"]
    assert [each for each in command if each not in ("--config", "/run/secrets/nats_conf")] == SERVICES[
        "nats"
    ]["command"]


def uses_nats(service: dict[str, Any]) -> bool:
    return service["image"] == "slotkeeper" and service["command"][2] in USERS
