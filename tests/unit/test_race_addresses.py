"""Which deployment `python -m tests.proof.race` is run against."""

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
def test_the_database_of_another_deployment_is_never_guessed(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variable: str | None, expected: str | None
) -> None:
    """Rows are deleted where `--mongo` or `MONGO_URI` says, else in the database of the proved stack."""
    monkeypatch.setattr(cli, "of_local_stack", lambda: LOCAL)
    if variable:
        monkeypatch.setenv("MONGO_URI", variable)
    assert cli.parse_options(arguments).mongo == expected
