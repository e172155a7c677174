"""Which deployment `python -m tests.concurrency` is run against."""

import pytest

from tests.concurrency import cli
from tests.concurrency.options import DEFAULT_NATS, DEFAULT_URL

LOCAL = ("http://127.0.0.1:3491", "nats://127.0.0.1:21163")


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATS_URL", raising=False)


def addresses(*arguments: str) -> tuple[str, str]:
    options = cli.parse_options(arguments)
    return options.url, options.nats


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], LOCAL),
        (["--url", "http://localhost:3491"], ("http://localhost:3491", LOCAL[1])),
        (["--url", "http://localhost:3493"], ("http://localhost:3493", DEFAULT_NATS)),
        (["--url", "http://clinic:3491"], ("http://clinic:3491", DEFAULT_NATS)),
        (["--nats", "nats://clinic:4222"], (LOCAL[0], "nats://clinic:4222")),
        (["--url", "http://clinic", "--nats", "nats://clinic"], ("http://clinic", "nats://clinic")),
    ],
)
def test_the_local_stack_is_proved_whatever_its_port(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: tuple[str, str]
) -> None:
    """Its NATS goes with its gateway only: those of two deployments would show two winners."""
    monkeypatch.setattr(cli, "of_local_stack", lambda: LOCAL)
    assert addresses(*arguments) == expected


def test_without_a_local_stack_the_usual_addresses_are_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the containers; `NATS_URL` names another server of NATS."""
    monkeypatch.setattr(cli, "of_local_stack", lambda: None)
    assert addresses() == (DEFAULT_URL, DEFAULT_NATS)
    monkeypatch.setenv("NATS_URL", "nats://clinic:4222")
    assert addresses() == (DEFAULT_URL, "nats://clinic:4222")
