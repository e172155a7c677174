"""How the stack is set up: the services' settings, and how many of each there are."""

from typing import Annotated

from pydantic import Field

from deploy.local.ports import reachable
from shared.process.settings import CONCERNS, GatewaySettings, load

Count = Annotated[int, Field(ge=1, le=64)]


class StackSettings(GatewaySettings):
    """Where the gateway listens, and how many gateways and workers there are."""

    gateways: Count = 1
    booking_workers: Count = 2
    hold_workers: Count = 2
    relays: Count = 1
    webhook_workers: Count = 1

    @property
    def url(self) -> str:
        """The address at which this machine reaches the gateway."""
        host = reachable(self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def load_settings() -> StackSettings:
    """The settings. Those of the services are looked at too, to tell a wrong one before anything starts.

    Raises:
        Misconfigured: one is wrong; the line names the variable.
    """
    for concern in CONCERNS:
        load(concern)
    return load(StackSettings)
