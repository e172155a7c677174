"""Identification: by headers alone, in the same way for each key that is not valid."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway.access.access import Access
from gateway.access.identified import NOBODY, OPEN, Identified
from gateway.access.jwts import LEEWAY_SECONDS
from shared.contract.caller import Caller, Scope, remember_caller
from shared.contract.errors import Forbidden, Unauthorized
from shared.process import watched_file
from shared.process.gateway_settings import AccessSettings
from shared.process.settings import Misconfigured
from tests.keys import KeyFile, at, digest
from tests.stack import wait_until

AUDIENCE, ISSUER = "slotkeeper", "https://issuer.example"
RSA, OTHER_RSA = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
SHORT_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
CURVE = ec.generate_private_key(ec.SECP256R1())
OCTETS = "b2N0ZXRzLW9jdGV0cy1vY3RldHMtb2N0ZXRzLW9jdGV0cw"
KEY_SET = {
    "keys": [
        {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa", "use": "sig"},
        {**ECAlgorithm.to_jwk(CURVE.public_key(), as_dict=True), "kid": "ec"},
        {**RSAAlgorithm.to_jwk(SHORT_RSA.public_key(), as_dict=True), "kid": "short"},
        {**RSAAlgorithm.to_jwk(OTHER_RSA.public_key(), as_dict=True), "kid": "enc", "use": "enc"},
        {"kty": "oct", "k": OCTETS, "kid": "oct", "alg": "HS256"},
        {"kty": "colour", "kid": "unknown"},
    ]
}


@pytest.fixture(autouse=True)
def each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_file, "CHECK_SECONDS", 0)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def access(tmp_path: Path, keys: KeyFile) -> Access:
    key_set = tmp_path / "jwks.json"
    key_set.write_text(json.dumps(KEY_SET))
    return Access(
        AccessSettings(api_keys_file=keys.path, jwks_file=key_set, jwt_audience=AUDIENCE, jwt_issuer=ISSUER)
    )


def identify(access: Access, *values: bytes | str) -> Identified:
    """Identify a request with these headers `Authorization`."""
    sent = [value.encode() if isinstance(value, str) else value for value in values]
    headers = [(b"host", b"a"), *((b"authorization", value) for value in sent)]
    return access.identify(dict(headers), {"type": "http", "path": "/api/slots", "headers": headers})


def refuses(access: Access, *values: bytes | str) -> bool:
    """Return whether a request is refused with the one answer for all."""
    with pytest.raises(Unauthorized) as refused:
        identify(access, *values)
    assert refused.value.text == Unauthorized.message
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return True


def test_key_is_identified_with_its_permissions(access: Access, keys: KeyFile) -> None:
    """The caller has the key's id, sites, names and caps, and its JSON is made once."""
    token = keys.new("book", "names", sites=["clinic-1"], limits={"holds": 5, "bookings": 9})
    identified = identify(access, f"Bearer {token}")
    assert json.loads(identified.json or b"") == {
        "id": "key-1",
        "sites": ["clinic-1"],
        "names": True,
        "shares": [{"id": "key-1", "holds": 5, "bookings": 9}],
    }
    assert identified.scopes == {Scope.BOOK, Scope.NAMES}
    assert identify(access, f"Bearer {token}") is identified


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_scheme_is_read_in_any_case(access: Access, keys: KeyFile, scheme: str) -> None:
    """RFC 9110: the scheme is case-insensitive, and one or more spaces follow."""
    assert identify(access, scheme + keys.new("book")).caller.id == "key-1"


def test_key_that_is_not_valid_gets_one_answer(access: Access, keys: KeyFile) -> None:
    """Absent, unknown, wrong, expired, of another id, and of another kind: no caller learns which."""
    valid, other = keys.new("book"), keys.new("book")
    expired = keys.new("book", expires=at(-1))
    public = keys.new("book", kind="publishable")
    secret = valid.split("_")[2]
    wrong = (
        f"Bearer {valid[:-1]}x",
        f"Bearer {valid}x",
        f"Bearer sk_key-9_{secret}",
        f"Bearer sk_key-2_{secret}",
        f"Bearer pk_key-1_{secret}",
        f"Bearer s{public[1:]}",
        f"Bearer {secret}",
        f"Bearer {digest(valid)}",
        f"Bearer sk_key-1_{digest(valid)}",
        f"Bearer {expired}",
        f"Bearer {other} {valid}",
        f"Bearer {valid},",
        f"Basic {valid}",
        valid,
        f"Bearer{valid}",
        f"Bearer\t{valid}",
        "Bearer",
        "Bearer ",
        "",
        b"Bearer \xff\xfe",
        "Bearer sk__",
        "Bearer sk_key-1_",
        "Bearer ..",
        f"Bearer {'x' * 20_000}",
    )
    assert all(refuses(access, value) for value in wrong)
    assert refuses(access)
    assert identify(access, f"Bearer {valid}").caller.id == "key-1"


def test_several_headers_are_refused(access: Access, keys: KeyFile) -> None:
    """Of two keys none counts, even if both are valid: a proxy may have read the other one."""
    first, second = keys.new("book"), keys.new("read")
    assert refuses(access, f"Bearer {first}", f"Bearer {second}")
    assert refuses(access, f"Bearer {first}", f"Bearer {first}")
    assert refuses(access, "Basic x", f"Bearer {first}")


def test_revoked_key_is_refused_while_the_gateway_runs(access: Access, keys: KeyFile) -> None:
    """A key that was taken out of the file is unknown; a new one is valid."""
    token, other = keys.new("book"), keys.new("book")
    assert identify(access, f"Bearer {token}").caller.id == "key-1"
    keys.keys.remove(keys.of(token))
    keys.write()
    assert refuses(access, f"Bearer {token}")
    assert identify(access, f"Bearer {other}").caller.id == "key-2"


def test_both_secrets_of_a_rotation_are_valid_until_the_end_of_the_overlap(
    access: Access, keys: KeyFile
) -> None:
    """After the overlap the new one alone is valid."""
    old = keys.new("book")
    new = f"sk_key-1_{'n' * 43}"
    secrets = keys.of(old)["secrets"]
    secrets[0]["until"] = at(60)
    secrets.insert(0, {"sha256": digest(new)})
    keys.write()
    assert identify(access, f"Bearer {old}") is identify(access, f"Bearer {new}")
    secrets[1]["until"] = at(-1)
    keys.write()
    assert refuses(access, f"Bearer {old}")
    assert identify(access, f"Bearer {new}").caller.id == "key-1"


def test_nats_user_without_a_secret_has_no_key(access: Access, keys: KeyFile) -> None:
    """An entry without a secret cannot be used over HTTP."""
    token = keys.new("book", nats=True, secrets=[])
    assert refuses(access, f"Bearer {token}")
    assert refuses(access, "Bearer sk_key-1_")


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    valid = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada@example.org", "exp": now + 60}
    sent = {**valid, "scope": "openid book names", "sites": ["clinic-1"], **more}
    return {name: value for name, value in sent.items() if value is not None}


def signed(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "rsa", **more: Any) -> str:
    headers = {"kid": kid} if kid else {}
    return "Bearer " + jwt.encode(claims(**more), key, algorithm=algorithm, headers=headers)


def test_jwt_is_identified_with_its_claims(access: Access) -> None:
    """Scopes of others are passed over; the id does not show who `sub` is; a second use is from memory."""
    identified = identify(access, signed())
    assert identified.scopes == {Scope.BOOK, Scope.NAMES}
    assert identified.caller.sites == frozenset({"clinic-1"})
    assert identified.caller.names
    assert identified.caller.id.startswith("jwt-")
    assert "ada" not in identified.caller.id
    assert identify(access, signed(CURVE, "ES256", "ec")).caller.id == identified.caller.id
    token = signed()
    assert identify(access, token) is identify(access, token)
    assert identify(access, signed(sites="all")).caller.sites is None
    assert identify(access, signed(sites=None, scope=None)).caller.sites == frozenset()


@pytest.mark.parametrize(
    "sent",
    [
        lambda: signed(aud="another"),
        lambda: signed(aud=None),
        lambda: signed(iss="https://another.example"),
        lambda: signed(iss=None),
        lambda: signed(exp=int(time.time()) - LEEWAY_SECONDS - 1),
        lambda: signed(exp=None),
        lambda: signed(exp="soon"),
        lambda: signed(nbf=int(time.time()) + 600),
        lambda: signed(sub=None),
        lambda: signed(OTHER_RSA),
        lambda: signed(OTHER_RSA, kid="enc"),
        lambda: signed(SHORT_RSA, kid="short"),
        lambda: signed(kid="another"),
        lambda: signed(kid=None),
        lambda: signed(RSA, "PS256"),
        lambda: signed(OCTETS.encode(), "HS256", "oct"),
        lambda: signed(OCTETS.encode(), "HS256", "rsa"),
        lambda: signed("", "none"),
        lambda: signed(scope=["book"]),
        lambda: signed(sites="clinic-1"),
        lambda: signed(sites=["clinic 1"]),
        lambda: signed(sites={"all": True}),
        lambda: signed()[:-4] + "AAAA",
        lambda: signed().rpartition(".")[0] + ".",
        lambda: "Bearer a.b.c",
        lambda: "Bearer " + "e30." * 2 + "[" * 100,
    ],
)
@pytest.mark.filterwarnings("ignore:.*:jwt.warnings.InsecureKeyLengthWarning")
def test_jwt_that_is_not_valid_gets_the_same_answer(access: Access, sent: Callable[[], str]) -> None:
    """Another audience, issuer, key or algorithm, none at all, expired, or claims of a wrong type."""
    assert refuses(access, sent())
    assert identify(access, signed())


def test_verified_jwt_expires(access: Access) -> None:
    """A token that was verified once is not valid beyond its end."""
    token = signed(exp=int(time.time()) - LEEWAY_SECONDS + 2)
    assert identify(access, token)

    def is_refused() -> bool:
        with suppress(Unauthorized):
            return not identify(access, token)
        return True

    wait_until(is_refused, "the token has expired", seconds=10)


def test_replaced_key_set_ends_verified_jwts(access: Access, tmp_path: Path) -> None:
    """A token of a key that left the set is refused, though it was verified before."""
    token = signed()
    assert identify(access, token)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": KEY_SET["keys"][1:]}))
    assert refuses(access, token)


def test_deployment_without_keys_is_open_to_loopback_alone() -> None:
    """Without keys all callers are `OPEN`; another host needs ALLOW_ANONYMOUS."""
    assert identify(Access(AccessSettings())) is OPEN
    for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
        AccessSettings().check_host(host)
    for host in ("0.0.0.0", "::", "10.0.0.1", "booking.example.org", ""):  # noqa: S104
        with pytest.raises(Misconfigured, match=r"^API_KEYS_FILE: .*ALLOW_ANONYMOUS=true"):
            AccessSettings().check_host(host)
        AccessSettings(allow_anonymous=True).check_host(host)
        AccessSettings(api_keys_file=Path("keys.json")).check_host(host)


def test_wrong_key_file_stops_the_start(tmp_path: Path) -> None:
    """One line names the variable and the field."""
    path = tmp_path / "keys.json"
    with pytest.raises(Misconfigured, match="^API_KEYS_FILE: No such file"):
        Access(AccessSettings(api_keys_file=path))
    path.write_text('{"keys":[{}]}')
    with pytest.raises(Misconfigured, match=r"^API_KEYS_FILE: keys\.0\.id: "):
        Access(AccessSettings(api_keys_file=path))
    with pytest.raises(Misconfigured, match=r"^JWKS_FILE: has no key"):
        Access(AccessSettings(jwks_file=path.with_suffix(".json"), jwt_audience="a", jwt_issuer="b"))


def test_path_that_needs_no_key_permits_no_call() -> None:
    """A call below another path than /api/ is refused, so a route cannot be open by accident."""
    for scope in (None, *Scope):
        with pytest.raises(Unauthorized):
            NOBODY.require(scope)
        OPEN.require(scope)
    with pytest.raises(Forbidden, match="does not have the scope book"):
        Identified.of(OPEN.caller, frozenset({Scope.READ})).require(Scope.BOOK)


def test_caller_of_a_command_is_remembered_until_it_differs() -> None:
    """A worker validates a caller once; one of the same id with other sites or names is another caller."""
    sent = {"id": "till", "sites": ["clinic-1"], "names": True}
    first = remember_caller(dict(sent))
    assert first == Caller.model_validate(sent)
    assert remember_caller(dict(sent)) is first
    for other in ({**sent, "sites": ["clinic-2"]}, {**sent, "names": False}, {"id": "till"}):
        assert remember_caller(other) == Caller.model_validate(other)
    invalid: tuple[Any, ...] = ({**sent, "colour": 1}, {**sent, "sites": "all"}, {"id": []}, 7, None, [])
    for wrong in invalid:
        assert remember_caller(wrong) is wrong
