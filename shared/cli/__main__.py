"""Start the command line."""

import sys


def main() -> None:
    """Run the command line; if the extra's libraries are missing, print how to install them."""
    try:
        from . import streams  # noqa: PLC0415
        from .app import app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in {"httpx", "rich", "typer"}:
            raise
        print("The command needs more than the client does: pip install 'slotkeeper[cli]'", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    streams.install()
    try:
        app(prog_name="slotkeeper")
    finally:
        streams.finish()


if __name__ == "__main__":
    main()
