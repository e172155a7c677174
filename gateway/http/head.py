"""Check the head of a request: `Host`, the length of the URI, `Content-Encoding`."""

from collections.abc import Collection

from starlette.types import Scope

from gateway.http.body import values
from shared.contract.errors import InvalidRequest, UnsupportedMediaType, UriTooLong

LONGEST_URI = 16 * 1024


def check_head(
    scope: Scope, headers: dict[bytes, bytes], allowed_hosts: Collection[bytes] = frozenset()
) -> None:
    """Refuse a request whose head is wrong; `headers` are those of `scope`, by name.

    A web page whose own name leads to this gateway (DNS rebinding) sends that name as `Host`.

    Raises:
        InvalidRequest: no `Host`, or more than one (https://www.rfc-editor.org/rfc/rfc9112#section-3.2), or
            one that is not among `allowed_hosts`, unless that is empty.
        UriTooLong: path and query have more than `LONGEST_URI` bytes.
        UnsupportedMediaType: the body is compressed.
    """
    repeated = len(headers) != len(scope["headers"])
    if b"host" not in headers and scope.get("http_version") != "1.0":
        raise InvalidRequest("Missing header Host")
    if repeated and len(values(scope["headers"], b"host")) > 1:
        raise InvalidRequest("Host was sent more than once")
    if allowed_hosts and _name_of(headers.get(b"host", b"")) not in allowed_hosts:
        raise InvalidRequest("Host is none of the names of this gateway")
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > LONGEST_URI:
        raise UriTooLong
    if b"content-encoding" in headers and not all(
        map(_is_identity, values(scope["headers"], b"content-encoding"))
    ):
        raise UnsupportedMediaType("Content-Encoding must be identity")


def _name_of(host: bytes) -> bytes:
    """Return a host without its port, in lower case: `[::1]:3000` is `[::1]`."""
    name, colon, port = host.rpartition(b":")
    return (name if colon and (not port or port.isdigit()) else host).lower()


def _is_identity(encodings: bytes) -> bool:
    return {encoding.strip().lower() for encoding in encodings.split(b",")} <= {b"", b"identity"}
