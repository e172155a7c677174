"""What the compose file promises an operator."""

import re
from pathlib import Path

COMPOSE = (Path(__file__).parents[2] / "deploy/compose.yaml").read_text()


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
