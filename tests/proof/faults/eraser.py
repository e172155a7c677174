"""An operator who erases names while callers change the same bookings."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from booking_worker.privacy.erasure import erase
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.personal_data import PersonalData, with_ids
from tests.callers import Answer
from tests.proof.faults.history import Operation
from tests.proof.faults.recorder import Recorder
from tests.proof.faults.workload_calls import PATIENCE_SECONDS, Visit

LATEST = 40


@dataclass(frozen=True)
class Eraser:
    """Erases bookings out of `known`, `pace` in a second, each by its id and by the operators' own code."""

    mongo_uri: str
    recorder: Recorder
    random: Random
    pace: float
    known: Sequence[tuple[str, Visit]]

    async def run(self, stopping: asyncio.Event) -> None:
        """Erase until `stopping` is set."""
        if not self.pace:
            return
        database = mongodb.connect(self.mongo_uri)
        try:
            while not stopping.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.random.expovariate(self.pace)):
                        await stopping.wait()
                if self.known:
                    id, visit = self.random.choice(self.known[-LATEST:])
                    await self._erase(PersonalData(database), id, visit)
        finally:
            mongodb.close(database)

    async def _erase(self, data: PersonalData, id: str, visit: Visit) -> None:
        place = visit.place
        asked = Operation(
            number=0,
            client="eraser",
            kind="erase",
            via="command",
            site=place.site,
            resources=place.resources,
            slot=place.slot,
            patient=visit.patient,
            key=None,
            token=None,
            invoked=0.0,
            returned=None,
            outcome="unknown",
            appointment_id=id,
            minutes=place.minutes,
            service=place.service,
        )

        async def command() -> Answer:
            async with asyncio.timeout(PATIENCE_SECONDS):
                counts = await erase(data, with_ids([id]))
            return Answer(200 if counts.total else 404, {})

        await self.recorder.record(asked, command)
