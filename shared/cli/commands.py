"""Run the group of all commands, and end each with a true exit code."""

import sys
from collections.abc import Sequence
from typing import Any

from typer import Abort, BadParameter
from typer.core import TyperGroup

from .gateway import USAGE, ExitCode
from .output import print_json

INTERRUPTED = 130
# Typer exports neither of its base classes.
UsageError: Any = BadParameter.__mro__[1]


class Commands(TyperGroup):
    """Typer's group. A usage error is printed as JSON too if `--json` is among the arguments."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that `args` name, and exit."""
        words = sys.argv[1:] if args is None else list(args)
        try:
            _require_text(words)
            code = super().main(words, prog_name, complete_var, False, windows_expand_args, **extra)
        except UsageError as error:
            code = ExitCode.WRONG
            if "--json" in words:
                print_json({"error": error.format_message(), "type": USAGE})
            else:
                error.show()
        except (Abort, KeyboardInterrupt):
            code = INTERRUPTED
        sys.exit(code or 0)


def _require_text(words: Sequence[str]) -> None:
    """Refuse bytes that this machine's encoding cannot decode: they would be sent as another name."""
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        raise BadParameter("an argument is no text in the encoding of this machine") from None
