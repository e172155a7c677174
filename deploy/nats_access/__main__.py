"""Make NATS refuse everybody without a key: `python -m deploy.nats_access FOLDER`.

Run it again after each change of the API keys, and have nats-server reload its configuration.
"""

import argparse
import sys
from pathlib import Path

from deploy.nats_access.files import CLIENTS, CONFIGURATION, write_access
from shared.process.api_keys import read_keys
from shared.process.watched_file import InvalidFile

DESCRIPTION = f"""\
Writes {CONFIGURATION} for nats-server, and an access file (NATS_ACCESS_FILE) for each of its users: one for
each service, and {CLIENTS}/ID.json for each API key that has "nats": true. Users keep their seeds; to give
a user a new seed, delete its file first.
"""


def main() -> None:
    """Write the files, and print what to do with them."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.nats_access",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write the files")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="the API keys (API_KEYS_FILE)")
    parser.add_argument(
        "--readable",
        action="store_true",
        help="other users may read the files of services, as containers must",
    )
    options = parser.parse_args()
    try:
        keys = read_keys(options.keys) if options.keys else ()
        clients = write_access(options.folder, keys, readable=options.readable)
    except InvalidFile as error:
        sys.exit(f"{options.keys}: {error}")
    except OSError as error:
        sys.exit(f"{options.folder}: {error.strerror}")
    print(f"Direct clients: {', '.join(clients) or 'none'}")
    print(f"Start nats-server with -c {options.folder / CONFIGURATION}, or: nats-server --signal reload")


if __name__ == "__main__":
    main()
