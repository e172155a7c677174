"""A process's connection to NATS."""

from shared.connection import Link


def test_a_process_never_gives_nats_up() -> None:
    """However long NATS is away, a process goes on trying to connect."""
    assert Link("nats://localhost:4222", "gateway").options["max_reconnect_attempts"] == -1


def test_a_connection_that_is_cut_without_a_word_is_noticed() -> None:
    """Where NATS no longer answers, a process has noticed within ten seconds."""
    options = Link("nats://localhost:4222", "gateway").options
    assert options["ping_interval"] * (options["max_outstanding_pings"] + 1) <= 10
