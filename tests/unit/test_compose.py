"""What the compose file promises an operator."""

import re
from pathlib import Path

from annotated_types import Le

from shared.process.settings import NatsSettings

COMPOSE = (Path(__file__).parents[2] / "deploy/compose.yaml").read_text()
COMMON, _, LISTED = COMPOSE.partition("\nservices:")
_, *NAMES_AND_SERVICES = re.split(r"^  ([\w-]+):$", LISTED.partition("\nvolumes:")[0], flags=re.MULTILINE)
SERVICES = dict(zip(NAMES_AND_SERVICES[::2], NAMES_AND_SERVICES[1::2], strict=True))


def test_only_the_gateway_is_published_and_on_loopback() -> None:
    """The servers have no passwords, so nothing outside the compose network reaches them."""
    published = re.findall(r"^ +(?:ports|network_mode):.*$", COMPOSE, re.MULTILINE)
    assert published == ['    ports: ["${HOST:-127.0.0.1}:${PORT:-3000}:3000"]']


def test_no_service_has_a_fixed_name() -> None:
    """Any service that keeps no state can be scaled."""
    assert "container_name" not in COMPOSE


def test_redis_never_drops_a_hold_for_want_of_memory() -> None:
    """An eviction would end a hold before its time, and nobody would know."""
    assert "--maxmemory-policy noeviction" in COMPOSE


def test_a_service_has_the_time_to_drain_whatever_the_timeout() -> None:
    """It is killed no sooner than the longest REQUEST_TIMEOUT_SECONDS needs: compose cannot compute."""
    bounds = NatsSettings.model_fields["request_timeout_seconds"].metadata
    longest = next(bound.le for bound in bounds if isinstance(bound, Le))
    given = re.findall(r"^  stop_grace_period: (\d+)s$", COMMON.partition("x-service:")[2], re.MULTILINE)
    assert [float(seconds) for seconds in given] == [
        NatsSettings(request_timeout_seconds=longest).stop_seconds
    ]


def test_every_container_has_a_limit_of_memory() -> None:
    """One that grows without end takes none of the others with it."""
    assert re.search(r"^x-container: &container\n(?:  .*\n)*?  mem_limit: ", COMMON, re.MULTILINE)
    assert COMMON.count("<<: *container") == COMMON.count("<<: *service") == 1
    for name, service in SERVICES.items():
        assert re.search(r"^    <<: \*(container|service|worker)$", service, re.MULTILINE), name


def test_every_server_says_whether_it_is_well() -> None:
    """What depends on a server starts once that answers."""
    for name in ("mongo", "redis", "nats"):
        assert "    healthcheck:\n" in SERVICES[name], name
    assert "condition: service_started" not in COMPOSE
