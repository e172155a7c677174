"""A process's connection to NATS."""

from shared.connection import Link


def test_a_process_never_gives_nats_up() -> None:
    """However long NATS is away, a process goes on trying to connect."""
    assert Link("nats://localhost:4222", "gateway").options["max_reconnect_attempts"] == -1
