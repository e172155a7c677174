"""The command that changes the grid, made to die at a step, to leave one out, or to wait for less long.

python -m tests.integration.dying_regrid begin --minutes 15        dies once it has done that step
python -m tests.integration.dying_regrid no:admit_only …          leaves that step out
python -m tests.integration.dying_regrid impatient …              gives each step a second, and does them all
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
"""In their order; `rewrite` is done for two rows at once here, so that the first time leaves some."""


def sabotage(step: str) -> None:
    """Die after a step, or leave it out."""
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
