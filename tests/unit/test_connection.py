"""A process's connection to NATS."""

from shared.process.nats_options import NatsOptions


def test_process_reconnects_to_nats_without_limit() -> None:
    """A process keeps trying to connect, however long NATS is away."""
    assert NatsOptions("nats://localhost:4222", "gateway").connect["max_reconnect_attempts"] == -1


def test_silently_cut_connection_is_detected_within_ten_seconds() -> None:
    """If NATS no longer answers pings, a process detects this within ten seconds."""
    options = NatsOptions("nats://localhost:4222", "gateway").connect
    assert options["ping_interval"] * (options["max_outstanding_pings"] + 1) <= 10
