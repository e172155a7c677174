"""The command line of the proof under faults."""

import argparse
import asyncio
from pathlib import Path
from random import SystemRandom

from rich.console import Console

from tests.proof.faults.fault_catalog import FAULT_KINDS
from tests.proof.faults.report import Progress, print_result
from tests.proof.faults.run import RunOptions, RunResult, run
from tests.proof.faults.timeline import draw
from tests.sabotage import SABOTAGES

PICTURES = Path(".local/faults")


def main() -> int:
    """Run the proof; return 0 without violations, 1 with some, 2 for wrong arguments."""
    arguments = _parser().parse_args()
    options = RunOptions(
        seed=arguments.seed if arguments.seed is not None else SystemRandom().randrange(1_000_000),
        seconds=arguments.seconds,
        kinds=arguments.faults,
        rate=arguments.rate,
        without=arguments.without or "",
    )
    console = Console()
    console.print(f"seed {options.seed}", highlight=False)
    try:
        result = asyncio.run(_run(console, options))
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130
    if arguments.history:
        result.history.save(arguments.history)
    print_result(console, result)
    png = arguments.png or _own_png(options.seed)
    draw(result.history, png, f"seed {options.seed}")
    console.print(f"drawn in {png}", highlight=False, soft_wrap=True)
    return 0 if result.passed else 1


async def _run(console: Console, options: RunOptions) -> RunResult:
    progress = Progress(console, options)
    async with progress.shown():
        return await run(options, progress.watch)


def _own_png(seed: int) -> Path:
    PICTURES.mkdir(parents=True, exist_ok=True)
    return PICTURES / f"seed-{seed}.png"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof.faults",
        description="Break a cluster of real servers while callers book, and judge every answer.",
    )
    parser.add_argument("--seconds", type=_positive, default=60.0, help="how long faults are injected")
    parser.add_argument("--seed", type=int, help="decides the faults and the calls (default: random)")
    parser.add_argument("--rate", type=_positive, default=100.0, help="calls in a second, in total")
    parser.add_argument(
        "--faults",
        type=_kinds,
        default=sorted(FAULT_KINDS),
        metavar="KIND,KIND",
        help=f"only these faults, of {', '.join(FAULT_KINDS)}",
    )
    parser.add_argument(
        "--without",
        type=_safeguards,
        metavar="SAFEGUARD,SAFEGUARD",
        help=f"start workers without these safeguards, to see the proof fail: of {', '.join(SABOTAGES)}",
    )
    parser.add_argument("--history", type=_writable, metavar="FILE", help="save the history as JSON")
    parser.add_argument(
        "--png",
        type=_writable,
        metavar="FILE",
        help=f"draw the run there (default: {PICTURES}/seed-SEED.png)",
    )
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be positive")
    return value


def _kinds(text: str) -> list[str]:
    kinds = [kind.strip() for kind in text.split(",")]
    if unknown := [kind for kind in kinds if kind not in FAULT_KINDS]:
        raise argparse.ArgumentTypeError(f"no such kind: {', '.join(unknown)}")
    return kinds


def _safeguards(text: str) -> str:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in SABOTAGES]:
        raise argparse.ArgumentTypeError(f"no such safeguard: {', '.join(unknown)}")
    return ",".join(names)


def _writable(text: str) -> Path:
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"no such folder: {path.parent}")
    return path
