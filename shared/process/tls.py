"""Read certificates at the start of a process, so that a wrong one is found before anything is served.

A renewed certificate counts from the next start: restart the processes one by one.
"""

import ssl
from pathlib import Path

# Without it, OpenSSL would ask for the pass phrase of an encrypted key at the terminal, and wait.
_NO_PASS_PHRASE = ""


def client_context(
    prefix: str, ca: Path | None, cert: Path | None, key: Path | None
) -> ssl.SSLContext | None:
    """Return the context of a client that verifies its server; None if no file is named.

    Args:
        prefix: of the variables, such as `NATS`.
        ca: the certificates of the authorities to trust instead of the system's.
        cert: the certificate of this client, with its chain.
        key: the private key of `cert`.

    Raises:
        ValueError: a file cannot be used; the message names the variable.
    """
    _require_both(prefix, cert, key)
    if not (ca or cert):
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:
        raise ValueError(f"{prefix}_CA_FILE: {_reason(error)}") from None
    if cert and key:
        _load(context, prefix, cert, key)
    return context


def check_server_certificate(prefix: str, cert: Path | None, key: Path | None) -> None:
    """Check that a server can present a certificate.

    Raises:
        ValueError: it cannot; the message names the variable.
    """
    _require_both(prefix, cert, key)
    if cert and key:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), prefix, cert, key)


def certificate_problem(error: BaseException | None) -> str | None:
    """Describe why a client did not trust a server's certificate; None if an error has another cause."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted ({error.verify_message}); SSL_CERT_FILE names the authority"
            )
        error = error.__cause__ or error.__context__
    return None


def _require_both(prefix: str, cert: Path | None, key: Path | None) -> None:
    if bool(cert) != bool(key):
        missing, given = ("KEY", "CERT") if cert else ("CERT", "KEY")
        raise ValueError(f"{prefix}_{missing}_FILE: must be set, because {prefix}_{given}_FILE is")


def _load(context: ssl.SSLContext, prefix: str, cert: Path, key: Path) -> None:
    for name, file in (("CERT", cert), ("KEY", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise ValueError(f"{prefix}_{name}_FILE: {_reason(error)}") from None
    try:
        context.load_cert_chain(cert, key, password=_NO_PASS_PHRASE)
    except (OSError, ValueError) as error:
        names = f"{prefix}_CERT_FILE, {prefix}_KEY_FILE"
        raise ValueError(f"{names}: no certificate with its unencrypted key ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    """Describe an error without the content of a file."""
    if isinstance(error, ssl.SSLError):
        return f"not in PEM format, or not matching: {error.reason or type(error).__name__}"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return type(error).__name__
