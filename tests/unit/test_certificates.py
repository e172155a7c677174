"""Settings of TLS: a wrong certificate stops a process at its start."""

from pathlib import Path

import pytest
import trustme

from shared.process import settings
from shared.process.gateway_settings import GatewaySettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("one", "two"):
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    (tmp_path / "text").write_text("secret-zebra")
    return tmp_path


@pytest.mark.parametrize(
    ("files", "beginning"),
    [
        ({"TLS_CERT_FILE": "one.pem"}, "TLS_KEY_FILE: must be set"),
        ({"TLS_KEY_FILE": "one.key"}, "TLS_CERT_FILE: must be set"),
        ({"TLS_CERT_FILE": "absent", "TLS_KEY_FILE": "one.key"}, "TLS_CERT_FILE: cannot be read"),
        ({"TLS_CERT_FILE": "one.pem", "TLS_KEY_FILE": "absent"}, "TLS_KEY_FILE: cannot be read"),
        ({"TLS_CERT_FILE": "one.pem", "TLS_KEY_FILE": "two.key"}, "TLS_CERT_FILE, TLS_KEY_FILE: no cert"),
        ({"TLS_CERT_FILE": "one.pem", "TLS_KEY_FILE": "text"}, "TLS_CERT_FILE, TLS_KEY_FILE: no cert"),
        ({"NATS_CA_FILE": "absent"}, "NATS_CA_FILE: cannot be read"),
        ({"NATS_CA_FILE": "text"}, "NATS_CA_FILE: not in PEM format"),
        ({"NATS_CA_FILE": "ca.pem", "NATS_CERT_FILE": "one.pem"}, "NATS_KEY_FILE: must be set"),
    ],
)
def test_wrong_certificate_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, folder: Path, files: dict[str, str], beginning: str
) -> None:
    """One line names the variable, and contains nothing of a file."""
    for variable, name in files.items():
        monkeypatch.setenv(variable, str(folder / name))
    concern = settings.NatsSettings if "NATS_CA_FILE" in files else GatewaySettings
    with pytest.raises(settings.Misconfigured) as refused:
        settings.load(concern)
    assert str(refused.value).startswith(beginning)
    assert "zebra" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_right_certificates_are_accepted(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Control: the same files, named rightly, are no reason to stop."""
    for prefix in ("TLS", "NATS"):
        monkeypatch.setenv(f"{prefix}_CERT_FILE", str(folder / "one.pem"))
        monkeypatch.setenv(f"{prefix}_KEY_FILE", str(folder / "one.key"))
    monkeypatch.setenv("NATS_CA_FILE", str(folder / "ca.pem"))
    assert settings.load(GatewaySettings).tls_cert_file == folder / "one.pem"
    assert settings.load(settings.NatsSettings).tls() is not None
