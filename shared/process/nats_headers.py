"""Parse the header block of a NATS message: `NATS/1.0`, sometimes a status, then one header per line.

Parsing takes time proportional to the block's length, which is bounded. A sender may put any bytes there.
https://docs.nats.io/reference/reference-protocols/nats-protocol#hpub
"""

import re

LARGEST_BLOCK = 16 * 1024
MOST_HEADERS = 128
REPEATED = "\n"
"""Separates the values of a header that was sent more than once."""

_NAME = re.compile(rb"[!-9;-~]+")
_STATUS = re.compile(rb" *(\d{3})(?: ([ -~\t]*))?")


class Malformed(ValueError):
    """A header block that cannot be parsed."""


class TooLong(Malformed):
    """A header block with more bytes or headers than are accepted."""


def read_headers(block: bytes) -> dict[str, str]:
    """Parse a header block; the values of a repeated header are joined by `REPEATED`.

    Raises:
        Malformed: it does not begin with `NATS/1.0`, or a status or header line is invalid.
        TooLong: it exceeds `LARGEST_BLOCK` bytes or `MOST_HEADERS` headers.
    """
    if len(block) > LARGEST_BLOCK:
        raise TooLong
    first, *lines = block.split(b"\r\n")
    if len(lines) > MOST_HEADERS + 2:  # the last two are empty
        raise TooLong
    headers = _read_first_line(first)
    values: dict[str, list[str]] = {}
    for line in lines:
        if line:
            name, colon, value = line.partition(b":")
            if not colon or not _NAME.fullmatch(name := name.strip()):
                raise Malformed
            values.setdefault(name.decode(), []).append(value.strip().decode(errors="replace"))
    return headers | {name: REPEATED.join(repeated) for name, repeated in values.items()}


def _read_first_line(line: bytes) -> dict[str, str]:
    """Return the headers that nats-py derives from a status line of the server, such as `NATS/1.0 503`."""
    version, status = line[:8], line[8:]
    if version != b"NATS/1.0":
        raise Malformed
    if not status:
        return {}
    match = _STATUS.fullmatch(status)
    if not match:
        raise Malformed
    code, description = match.groups()
    return {"Status": code.decode()} | ({"Description": description.decode()} if description else {})
