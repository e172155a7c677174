"""Start a booking worker: `python -m booking_worker`."""

from booking_worker.app import booking_worker
from shared.contract.operation import BOOKING_GROUP
from shared.worker.run import run

if __name__ == "__main__":
    run(BOOKING_GROUP, booking_worker)
