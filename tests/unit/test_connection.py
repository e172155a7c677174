"""A process's connection to NATS."""

import pytest
import structlog
from nats.errors import Error

from shared.process import nats_options
from shared.process.nats_options import NEEDS_ACCESS, NatsOptions


def test_process_reconnects_to_nats_without_limit() -> None:
    """A process keeps trying to connect, however long NATS is away."""
    assert NatsOptions("nats://localhost:4222", "gateway").connect["max_reconnect_attempts"] == -1


def test_silently_cut_connection_is_detected_within_ten_seconds() -> None:
    """If NATS no longer answers pings, a process detects this within ten seconds."""
    options = NatsOptions("nats://localhost:4222", "gateway").connect
    assert options["ping_interval"] * (options["max_outstanding_pings"] + 1) <= 10


async def test_unreachable_nats_is_logged_with_its_address_without_credentials() -> None:
    """The line names every server; no user, password or token is in it."""
    url = "nats://canary:canary@one:4222, tls://canary@two:4223"
    with structlog.testing.capture_logs() as lines:
        await NatsOptions(url, "test").connect["error_cb"](ConnectionRefusedError())
    assert [line["address"] for line in lines] == ["nats://one:4222,tls://two:4223"]


async def test_repeated_refusal_is_logged_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is retried without end: one line in ten seconds, with what to do."""
    now = 0.0
    monkeypatch.setattr(nats_options, "monotonic", lambda: now)
    options = NatsOptions("nats://one:4222", "test")
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            now += 0.25
            await options.connect["error_cb"](Error("nats: 'Authorization Violation'"))
        await options.connect["error_cb"](Error("nats: 'Invalid Subject'"))
    assert [line.get("hint") for line in lines] == [NEEDS_ACCESS] * 3 + [None]
    assert options.refusal == NEEDS_ACCESS
