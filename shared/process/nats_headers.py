"""The header block of a NATS message: `NATS/1.0`, a status in some, then a header a line.

Read in time proportional to its length, which is bounded. A sender may put any bytes there.
https://docs.nats.io/reference/reference-protocols/nats-protocol#hpub
"""

import re

LARGEST_BLOCK = 16 * 1024
MOST_HEADERS = 128
REPEATED = "\n"
"""Between the values of a header that was sent more than once."""

_NAME = re.compile(rb"[!-9;-~]+")
_STATUS = re.compile(rb" *(\d{3})(?: ([ -~\t]*))?")


class Malformed(ValueError):
    """A header block that cannot be read."""


class TooLong(Malformed):
    """A header block of more bytes or headers than are read."""


def read_headers(block: bytes) -> dict[str, str]:
    """Read a header block; the values of a repeated header are joined by `REPEATED`.

    Raises:
        Malformed: it does not begin with `NATS/1.0`, its status is no status, or a line is no header.
        TooLong
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
    return headers | {name: REPEATED.join(those) for name, those in values.items()}


def _read_first_line(line: bytes) -> dict[str, str]:
    """The headers that nats-py makes of a status, such as `NATS/1.0 503`: the server says it so."""
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
