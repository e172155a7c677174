"""The command that changes the grid, changed to die after a step, to skip a step, or to time out early.

python -m tests.integration.dying_regrid begin --minutes 15        dies after that step
python -m tests.integration.dying_regrid no:admit_only …          skips that step
python -m tests.integration.dying_regrid impatient …              gives each step a second, and runs them all
"""

import os
import sys
from typing import Any

from booking_worker.regrid.__main__ import main
from shared.stores.mongo import regridding
from shared.stores.mongo.regridding import RegridStore
from shared.stores.redis.scripts import Scripts

DIED = 99
IMPATIENT = "impatient"
STEPS: dict[str, type] = {
    "begin": RegridStore,
    "admit_only": RegridStore,
    "rewrite": RegridStore,
    "delete_all": Scripts,
    "finish": RegridStore,
}
"""The steps in order. Here `rewrite` writes two rows a batch, so that its first batch leaves rows."""


def sabotage(step: str) -> None:
    """Make a step end the process, or make it do nothing (`no:`)."""
    name = step.removeprefix("no:")
    real = getattr(STEPS[name], name)

    async def die(*arguments: Any) -> None:
        if name == step:
            await real(*arguments)
            os._exit(DIED)

    setattr(STEPS[name], name, die)


if __name__ == "__main__":
    regridding.ROWS_AT_ONCE = 2
    if (step := sys.argv.pop(1)) == IMPATIENT:
        regridding.STEP_SECONDS = 1.0
    else:
        sabotage(step)
    main()
