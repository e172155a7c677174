"""Change the Lua scripts."""

import hashlib

from shared.stores.redis import server as redis_server


def change_script(name: str, old: str, new: str) -> None:
    """Replace a part of a script by another text."""
    source = redis_server._SOURCES[name]
    assert old in source, f"{name} does not contain {old}"
    redis_server._SOURCES[name] = source = source.replace(old, new)
    redis_server._DIGESTS[name] = hashlib.sha1(source.encode()).hexdigest()  # noqa: S324
