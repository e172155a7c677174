"""Start the command line."""

import sys
from importlib import import_module


def main() -> None:
    """Run `slotkeeper`; if the extra's libraries are missing, print how to install them."""
    _run("app", "slotkeeper")


def keys() -> None:
    """Run `slotkeeper-keys`, as `main` does."""
    _run("keys", "slotkeeper-keys")


def _run(module: str, name: str) -> None:
    try:
        from . import streams  # noqa: PLC0415

        app = import_module(f".{module}", __package__).app
    except ModuleNotFoundError as error:
        if error.name not in {"httpx", "rich", "typer"}:
            raise
        print("The command needs more than the client does: pip install 'slotkeeper[cli]'", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    streams.install()
    try:
        app(prog_name=name)
    finally:
        streams.finish()


if __name__ == "__main__":
    main()
