"""Settings: a wrong one stops the process with one line that names the variable."""

import pytest

from shared.process import settings
from shared.process.gateway_settings import AccessSettings, GatewaySettings


@pytest.mark.parametrize(
    ("concern", "variable", "value"),
    [
        (GatewaySettings, "PORT", "http"),
        (GatewaySettings, "PORT", "70000"),
        (GatewaySettings, "HEALTH_PORT", "-5"),
        (GatewaySettings, "PAGE_KEY", "sk_desk_secret"),
        (settings.NatsSettings, "NATS_URL", "localhost:4222"),
        (settings.NatsSettings, "NATS_URL", "nats://localhost:port"),
        (settings.NatsSettings, "NATS_URL", "nats://localhost:4222,"),
        (settings.NatsSettings, "REQUEST_TIMEOUT_SECONDS", "-1"),
        (settings.NatsSettings, "REQUEST_TIMEOUT_SECONDS", "nan"),
        (settings.NatsSettings, "REQUEST_TIMEOUT_SECONDS", "0.9"),
        (settings.MongoSettings, "MONGO_URI", "postgres://secret@localhost"),
        (settings.RedisSettings, "REDIS_URL", "localhost"),
        (AccessSettings, "ALLOW_ANONYMOUS", "secret"),
        (AccessSettings, "RATE_PER_CLIENT", "600"),
        (AccessSettings, "RATE_PER_CLIENT", "secret/minute"),
        (AccessSettings, "JWKS_URL", "http://issuer.example/secret"),
        (AccessSettings, "JWKS_URL", "http://localhost.issuer.example/secret"),
        (AccessSettings, "JWKS_URL", "https://"),
        (settings.HoldSettings, "SOFT_HOLD_SECONDS", "0"),
        (settings.HoldSettings, "HOLD_MAX_SECONDS", "60"),
        (settings.GridSettings, "SLOT_MINUTES", "7"),
        (settings.LogSettings, "LOG_LEVEL", "loud"),
        (settings.LogSettings, "LOG_FORMAT", "xml"),
        (settings.WorkerSettings, "WORKER_HTTP_PORT", "-5"),
    ],
)
def test_wrong_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, concern: type, variable: str, value: str
) -> None:
    """One line names the variable and its valid values, without a value that may be secret."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(settings.Misconfigured) as caught:
        settings.load(concern)
    line = str(caught.value)
    assert line.startswith(variable)
    assert "\n" not in line
    assert "secret" not in line


@pytest.mark.parametrize("rate", ["600", "0/minute", "6/week", "6/minute\n"])
def test_wrong_rate_is_refused_with_an_example(monkeypatch: pytest.MonkeyPatch, rate: str) -> None:
    """The sentence has a valid rate instead of a pattern."""
    monkeypatch.setenv("RATE_PER_CLIENT", rate)
    with pytest.raises(settings.Misconfigured, match="^RATE_PER_CLIENT: must be a rate such as 600/minute"):
        settings.load(AccessSettings)


def test_defaults_are_those_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without variables, the services use servers on this host and hold for five minutes."""
    for variable in ("PORT", "NATS_URL", "MONGO_URI", "REDIS_URL", "SOFT_HOLD_SECONDS", "SLOT_MINUTES"):
        monkeypatch.delenv(variable, raising=False)
    assert settings.load(GatewaySettings).port == 3000
    assert settings.load(settings.NatsSettings).nats_url == "nats://localhost:4222"
    assert settings.load(settings.HoldSettings).soft_hold_seconds == 300
    assert settings.load(settings.GridSettings).slot_minutes == 5


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"ALLOW_ANONYMOUS": "true", "API_KEYS_FILE": "keys.json"}, "ALLOW_ANONYMOUS"),
        ({"JWKS_FILE": "a", "JWT_AUDIENCE": "b"}, "JWT_AUDIENCE and JWT_ISSUER"),
        ({"JWKS_URL": "https://a", "JWT_ISSUER": "b"}, "JWT_AUDIENCE and JWT_ISSUER"),
        (
            {"JWKS_FILE": "a", "JWKS_URL": "https://a", "JWT_AUDIENCE": "b", "JWT_ISSUER": "c"},
            "JWKS_FILE and JWKS_URL",
        ),
    ],
)
def test_settings_of_access_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    """A service is either open or has keys; JWTs need both their audience and their issuer."""
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(settings.Misconfigured, match=f"^{named}"):
        settings.load(AccessSettings)


@pytest.mark.parametrize("url", ["https://issuer.example/jwks", "http://127.0.0.1:1/a", "http://localhost/a"])
def test_key_set_is_fetched_from_https_or_loopback(url: str) -> None:
    """Control: valid URLs are accepted."""
    assert AccessSettings(jwks_url=url, jwt_audience="a", jwt_issuer="b").jwks_url == url


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`PORT= make up` uses the default."""
    monkeypatch.setenv("PORT", "")
    assert settings.load(GatewaySettings).port == 3000


@pytest.mark.parametrize("timeout", [1, 5, 60])
def test_shutdown_lasts_longer_than_any_request(timeout: float) -> None:
    """A stopping process waits longer than any request lasts, and is killed later still."""
    nats = settings.NatsSettings(request_timeout_seconds=timeout)
    assert timeout < nats.drain_seconds < nats.stop_seconds


def test_allowed_hosts_are_names_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are separated by commas; without ALLOWED_HOSTS, any name is allowed."""
    monkeypatch.delenv("ALLOWED_HOSTS", raising=False)
    assert settings.load(GatewaySettings).hosts == frozenset()
    monkeypatch.setenv("ALLOWED_HOSTS", "Example.org, [::1]")
    assert settings.load(GatewaySettings).hosts == {b"example.org", b"[::1]"}
