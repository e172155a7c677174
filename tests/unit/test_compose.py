"""The compose file's promises to an operator."""

import re
from pathlib import Path

from annotated_types import Le

from shared.process.settings import NatsSettings

COMPOSE = (Path(__file__).parents[2] / "deploy/compose.yaml").read_text()
COMMON, _, LISTED = COMPOSE.partition("\nservices:")
_, *NAMES_AND_SERVICES = re.split(r"^  ([\w-]+):$", LISTED.partition("\nvolumes:")[0], flags=re.MULTILINE)
SERVICES = dict(zip(NAMES_AND_SERVICES[::2], NAMES_AND_SERVICES[1::2], strict=True))


def test_only_the_gateway_is_published_and_on_loopback() -> None:
    """The servers have no passwords, so only the compose network reaches them."""
    published = re.findall(r"^ +(?:ports|network_mode):.*$", COMPOSE, re.MULTILINE)
    assert published == ['    ports: ["${HOST:-127.0.0.1}:${PORT:-3000}:3000"]']


def test_no_service_has_a_fixed_name() -> None:
    """A service without state can be scaled."""
    assert "container_name" not in COMPOSE


def test_redis_never_evicts_a_hold() -> None:
    """An eviction would end a hold early and silently."""
    assert "--maxmemory-policy noeviction" in COMPOSE


def test_stop_grace_period_covers_the_longest_timeout() -> None:
    """Compose cannot compute, so the grace period fits the longest REQUEST_TIMEOUT_SECONDS."""
    bounds = NatsSettings.model_fields["request_timeout_seconds"].metadata
    longest = next(bound.le for bound in bounds if isinstance(bound, Le))
    given = re.findall(r"^  stop_grace_period: (\d+)s$", COMMON.partition("x-service:")[2], re.MULTILINE)
    assert [float(seconds) for seconds in given] == [
        NatsSettings(request_timeout_seconds=longest).stop_seconds
    ]


def test_container_has_a_memory_limit() -> None:
    """A container that grows without bound does not take the memory of the other containers."""
    assert re.search(r"^x-container: &container\n(?:  .*\n)*?  mem_limit: ", COMMON, re.MULTILINE)
    assert COMMON.count("<<: *container") == COMMON.count("<<: *service") == 1
    for name, service in SERVICES.items():
        assert re.search(r"^    <<: \*(container|service|worker)$", service, re.MULTILINE), name


def test_server_has_a_health_check() -> None:
    """A service starts once the servers that it depends on answer."""
    for name in ("mongo", "redis", "nats"):
        assert "    healthcheck:\n" in SERVICES[name], name
    assert "condition: service_started" not in COMPOSE
