"""`python -m tests.proof.race`"""

import asyncio
import resource
import sys

from rich.console import Console

from tests.proof.race.cli import parse_options
from tests.proof.race.connections import NotPermittedError, UnreachableError
from tests.proof.race.proof import prove

OPEN_FILES = 4096


def main() -> int:
    _allow_many_connections()
    try:
        return asyncio.run(prove(parse_options(), Console(highlight=False)))
    except (UnreachableError, NotPermittedError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted", file=sys.stderr)
        return 130


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
