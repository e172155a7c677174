"""A process's connection to NATS."""

from shared.process.nats_options import NatsOptions


def test_a_process_never_gives_nats_up() -> None:
    """However long NATS is away, a process goes on trying to connect."""
    assert NatsOptions("nats://localhost:4222", "gateway").connect["max_reconnect_attempts"] == -1


def test_a_connection_that_is_cut_without_a_word_is_noticed() -> None:
    """Where NATS no longer answers, a process has noticed within ten seconds."""
    options = NatsOptions("nats://localhost:4222", "gateway").connect
    assert options["ping_interval"] * (options["max_outstanding_pings"] + 1) <= 10
