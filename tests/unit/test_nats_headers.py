"""Header blocks of NATS are read quickly, or refused."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.process.nats_headers import LARGEST_BLOCK, MOST_HEADERS, Malformed, TooLong, read_headers


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        (b"NATS/1.0\r\n\r\n", {}),
        (b"NATS/1.0\r\nOne:1\r\nTwo: 2 \r\n\r\n", {"One": "1", "Two": "2"}),
        (b"NATS/1.0\r\nOne:\xff\r\n\r\n", {"One": "\ufffd"}),
        (b"NATS/1.0\r\nOne:1\r\nTwo:2\r\nOne:3\r\n\r\n", {"One": "1\n3", "Two": "2"}),
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503"}),
        (b"NATS/1.0 404 No Messages\r\n\r\n", {"Status": "404", "Description": "No Messages"}),
        (
            b"NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n",
            {"Status": "100", "Description": "Idle Heartbeat", "A": "b"},
        ),
    ],
)
def test_block_is_read_as_it_was_sent(block: bytes, headers: dict[str, str]) -> None:
    """The result has the headers, the joined values of a repeated one, and the server's status."""
    assert read_headers(block) == headers


@pytest.mark.parametrize(
    "block",
    [
        b"NATS",
        b"\r\n\r\n",
        b"HTTP/1.1\r\nA: b\r\n\r\n",
        b"NATS/1.0 \xff\xfe\xff\xff",
        b"NATS/1.0 100 \xff\xff\r\n\r\n",
        b"NATS/1.01\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\n: no name\r\n\r\n",
        b"NATS/1.0\r\ntwo words: a\r\n\r\n",
        b"NATS/1.0\r\n\xff: a\r\n\r\n",
    ],
)
def test_malformed_block_is_refused(block: bytes) -> None:
    """A malformed header block raises `Malformed`, and no other exception."""
    with pytest.raises(Malformed):
        read_headers(block)


def test_long_block_is_refused_at_once() -> None:
    """A megabyte of short lines costs less than a hundredth of a second."""
    began = time.process_time()
    with pytest.raises(TooLong):
        read_headers(b"NATS/1.0\r\n" + b"a:b\r\n" * 200_000)
    assert time.process_time() - began < 0.01


def test_largest_allowed_block_is_read() -> None:
    """The maximum number of headers, in the maximum number of bytes, is read."""
    value = b"b" * (LARGEST_BLOCK // MOST_HEADERS - 8)
    block = b"NATS/1.0\r\n%b\r\n" % (b"a:%b\r\n" % value * MOST_HEADERS)
    assert len(read_headers(block)["a"].split("\n")) == MOST_HEADERS
    with pytest.raises(TooLong):
        read_headers(b"NATS/1.0\r\n%b\r\n" % (b"a:b\r\n" * (MOST_HEADERS + 1)))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_headers_or_malformed(data: bytes, begins_well: bool) -> None:
    """No bytes raise another exception than `Malformed`."""
    try:
        headers = read_headers(b"NATS/1.0" + data if begins_well else data)
    except Malformed:
        return
    assert all(name and not any(c.isspace() for c in name) for name in headers)
