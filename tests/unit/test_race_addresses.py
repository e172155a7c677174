"""The addresses of the deployment that `python -m tests.proof.race` proves."""

import pytest

from tests.proof.race import cli
from tests.proof.race.addresses import Addresses
from tests.proof.race.options import DEFAULT_NATS, DEFAULT_URL

LOCAL = Addresses("http://127.0.0.1:3491", "nats://127.0.0.1:21163", "mongodb://127.0.0.1:27123")


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATS_URL", raising=False)
    monkeypatch.delenv("MONGO_URI", raising=False)


def addresses(*arguments: str) -> tuple[str, str]:
    options = cli.parse_options(arguments)
    return options.url, options.nats


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], LOCAL[:2]),
        (["--url", "http://localhost:3491"], ("http://localhost:3491", LOCAL[1])),
        (["--url", "http://localhost:3493"], ("http://localhost:3493", DEFAULT_NATS)),
        (["--url", "http://clinic:3491"], ("http://clinic:3491", DEFAULT_NATS)),
        (["--nats", "nats://clinic:4222"], (LOCAL[0], "nats://clinic:4222")),
        (["--url", "http://clinic", "--nats", "nats://clinic"], ("http://clinic", "nats://clinic")),
    ],
)
def test_local_stack_is_the_default_on_any_port(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: tuple[str, str]
) -> None:
    """The local NATS address goes only with the local gateway: two deployments would show two winners."""
    monkeypatch.setattr(cli, "of_local_stack", lambda: LOCAL)
    assert addresses(*arguments) == expected


def test_defaults_without_a_local_stack_are_the_container_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a local stack the container addresses are the defaults; `NATS_URL` overrides NATS."""
    monkeypatch.setattr(cli, "of_local_stack", lambda: None)
    assert addresses() == (DEFAULT_URL, DEFAULT_NATS)
    monkeypatch.setenv("NATS_URL", "nats://clinic:4222")
    assert addresses() == (DEFAULT_URL, "nats://clinic:4222")


@pytest.mark.parametrize(
    ("arguments", "variable", "expected"),
    [
        ([], None, LOCAL.mongo),
        (["--url", "http://localhost:3491"], None, LOCAL.mongo),
        (["--url", "http://clinic"], None, None),
        (["--url", "http://clinic"], "mongodb://clinic", "mongodb://clinic"),
        (["--mongo", "mongodb://other"], "mongodb://clinic", "mongodb://other"),
    ],
)
def test_database_of_another_deployment_is_never_guessed(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variable: str | None, expected: str | None
) -> None:
    """Rows are deleted in `--mongo` or `MONGO_URI`, else only in the database of the proved local stack."""
    monkeypatch.setattr(cli, "of_local_stack", lambda: LOCAL)
    if variable:
        monkeypatch.setenv("MONGO_URI", variable)
    assert cli.parse_options(arguments).mongo == expected
