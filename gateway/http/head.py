"""What the head of any request must be, whatever it asks for."""

from starlette.types import Scope

from gateway.http.body import values
from shared.contract.errors import InvalidRequest, UnsupportedMediaType, UriTooLong

LONGEST_URI = 16 * 1024


def check_head(scope: Scope, headers: dict[bytes, bytes]) -> None:
    """Refuse what a server must refuse, or would have to pass over. `headers` are those of `scope`.

    Raises:
        InvalidRequest: no `Host`, or more than one. https://www.rfc-editor.org/rfc/rfc9112#section-3.2
        UriTooLong
        UnsupportedMediaType: the body is compressed.
    """
    repeated = len(headers) != len(scope["headers"])
    if b"host" not in headers and scope.get("http_version") != "1.0":
        raise InvalidRequest("Missing header Host")
    if repeated and len(values(scope["headers"], b"host")) > 1:
        raise InvalidRequest("Host was sent more than once")
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > LONGEST_URI:
        raise UriTooLong
    if b"content-encoding" in headers and not all(
        map(_is_identity, values(scope["headers"], b"content-encoding"))
    ):
        raise UnsupportedMediaType("Content-Encoding must be identity")


def _is_identity(encodings: bytes) -> bool:
    return {each.strip().lower() for each in encodings.split(b",")} <= {b"", b"identity"}
