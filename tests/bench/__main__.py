"""The benchmark: `python -m tests.bench`, or `make bench`."""

import signal
import sys
from dataclasses import asdict

from rich.console import Console

from deploy.local.errors import StackError
from tests.bench.charts import draw
from tests.bench.cli import parse_options
from tests.bench.report import print_report
from tests.bench.results import summarise, write_json
from tests.bench.run import Run
from tests.bench.tools import find_program

INTERRUPTED = 130
WIDTH = 132


def main() -> int:
    """Measure, print the results even after an interrupt, and return the exit status."""
    options = parse_options()
    console = Console()
    console.width = max(console.width, WIDTH)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that all processes are stopped
    status = 0
    with console.status("") as shown:
        run = Run(options, shown.update if console.is_terminal else console.print)
        try:
            find_program("wrk")
            run.measure()
        except KeyboardInterrupt:
            status = INTERRUPTED
        except StackError as error:
            console.print(str(error), markup=False, highlight=False, soft_wrap=True)
            status = 2
    if not run.measurements:
        return status
    summaries = summarise(run.measurements)
    print_report(console, summaries, options)
    json_path = options.output / "bench.json"
    write_json(run.measurements, asdict(options), json_path)
    console.print(*(str(path) for path in [json_path, *draw(summaries, options.output)]), sep="\n")
    return status or int(any(summary.wrong for summary in summaries))


if __name__ == "__main__":
    sys.exit(main())
