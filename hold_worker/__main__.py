"""Start a hold worker: `python -m hold_worker`."""

from hold_worker.app import hold_worker
from shared.contract.operation import HOLD_GROUP
from shared.worker.run import run

if __name__ == "__main__":
    run(HOLD_GROUP, hold_worker)
