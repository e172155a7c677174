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
from tests.bench.tools import find

INTERRUPTED = 130
WIDTH = 132


def main() -> int:
    """Measure, and tell what was measured, even if it was interrupted; the exit status."""
    options = parse_options()
    console = Console()
    console.width = max(console.width, WIDTH)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a Ctrl-C: whatever was started is ended
    status = 0
    with console.status("") as shown:
        run = Run(options, shown.update if console.is_terminal else console.print)
        try:
            find("wrk")
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
    written = options.output / "bench.json"
    write_json(run.measurements, asdict(options), written)
    console.print(*(str(path) for path in [written, *draw(summaries, options.output)]), sep="\n")
    return status or int(any(each.wrong for each in summaries))


if __name__ == "__main__":
    sys.exit(main())
