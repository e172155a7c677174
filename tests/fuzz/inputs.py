"""Strategies for inputs that are wrong in every way, and some that are right."""

import json
from typing import Any

from hypothesis import strategies as st

from shared.contract.operations import OPERATIONS, as_json

EXAMPLES: list[dict[str, Any]] = [as_json(operation.example) for operation in OPERATIONS]
NAMES = sorted(
    {name for example in EXAMPLES for name in example} | {"commands", "caller", "deadline", "first"}
)
WORDS = ("", "a", "\x00", "\ud800", "é" * 300, "2031-05-04T09:00:00Z", "9" * 400, "../..", "%00", "*", ">")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=300),
    st.sampled_from(WORDS),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=9) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=40), inner)
    ),
    max_leaves=20,
)


@st.composite
def commands(draw: st.DrawFn) -> Any:
    """Return the example of an operation with some fields changed, added or removed."""
    command = dict(draw(st.sampled_from(EXAMPLES)))
    for name in draw(st.lists(st.sampled_from([*command, *NAMES]), max_size=4)):
        command.pop(name, None)
        if draw(st.booleans()):
            command[name] = draw(values)
    return command


@st.composite
def batches(draw: st.DrawFn) -> Any:
    """Return a batch whose commands and envelopes may be wrong."""
    items = [
        {"command": command, **draw(st.dictionaries(st.sampled_from(NAMES), values, max_size=3))}
        for command in draw(st.lists(commands(), max_size=5))
    ]
    return {"commands": items, **draw(st.dictionaries(st.sampled_from(NAMES), values, max_size=1))}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return JSON of which a part is cut out, repeated or replaced by any bytes."""
    data = encode(draw(commands() | batches() | values))
    begin, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
    return (
        data[:begin] + draw(st.sampled_from([b"", data[begin:end] * 2]) | st.binary(max_size=20)) + data[end:]
    )


def encode(value: Any) -> bytes:
    """Return JSON, also of values that JSON does not have: NaN, lone surrogates."""
    return json.dumps(value).encode(errors="surrogatepass")


bodies = st.one_of(
    commands().map(encode), batches().map(encode), values.map(encode), damaged(), st.binary(max_size=400)
)
"""Bodies of requests, and payloads of messages."""
header_texts = st.one_of(
    st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=200),
    st.sampled_from(
        ["", "*", '"1"', "Bearer ", "Bearer sk_a_b", "Bearer ml_a_b", "Bearer a.b.c", "-1", "1e9", "9" * 30]
    ),
)
