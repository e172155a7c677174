"""Make or rotate the keys of patients' links: `python -m gateway.access links.json`.

A rotation adds a key, which makes the secrets from then on. Older keys verify the secrets that patients have
already. `--keep` says how many of them stay.
"""

import argparse
from pathlib import Path

from gateway.access.links import new_link_key, read_link_keys, write_link_keys
from shared.process.watched_file import InvalidFile


def main() -> None:
    """Add a key to the file.

    Raises:
        SystemExit: the file cannot be read or written.
    """
    parser = argparse.ArgumentParser(prog="python -m gateway.access", description=__doc__)
    parser.add_argument("file", type=Path, help="the file that LINK_KEYS_FILE names")
    parser.add_argument("--keep", type=int, default=1, metavar="N", help="older keys to keep (default: 1)")
    arguments = parser.parse_args()
    try:
        keys = [new_link_key(), *read_link_keys(arguments.file)[: max(0, arguments.keep)]]
        write_link_keys(arguments.file, keys)
    except (InvalidFile, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SystemExit(f"{arguments.file}: {reason}") from None
    count = f"{len(keys)} keys; the first one" if len(keys) > 1 else "1 key; it"
    print(f"{arguments.file} has {count} makes the links")  # noqa: T201


if __name__ == "__main__":
    main()
