"""What a person who runs the stack sees."""

import contextlib
import textwrap
from pathlib import Path


def say(line: str) -> None:
    """Print a line; a terminal that has gone away is no reason to fail."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def screen(url: str, data: Path) -> str:
    """What to do with a stack that is ready."""
    return textwrap.dedent(
        f"""
        The booking service is ready at {url}  (API: {url}/docs)

          curl -i {url}/api/book-appointment -H 'Content-Type: application/json' \\
               -d '{{"slot":"2030-01-07T09:00:00Z","patientName":"Ada Lovelace"}}'

          Prove that it cannot double-book:  make prove
          Addresses and process ids:         make env
          Data:                              {data}
          Logs:                              {data / "logs"}
          Stop:                              Ctrl-C
        """
    )
