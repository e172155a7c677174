"""Read the settings of the stack: those of the services, and how many gateways and workers to start."""

from typing import Annotated

from pydantic import Field

from deploy.local.ports import reachable
from shared.process.concerns import CONCERNS
from shared.process.gateway_settings import AccessSettings, GatewaySettings
from shared.process.settings import load

Count = Annotated[int, Field(ge=1, le=64)]


class StackSettings(GatewaySettings):
    """The gateway's address, the numbers of gateways and workers, and whether NATS has accounts."""

    gateways: Count = 1
    booking_workers: Count = 2
    hold_workers: Count = 2
    relays: Count = 1
    webhook_workers: Count = 1
    secure: bool = False

    @property
    def url(self) -> str:
        """The address at which this machine reaches the gateway."""
        scheme, host = "https" if self.tls_cert_file else "http", reachable(self.host)
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"


def load_settings() -> StackSettings:
    """Read all settings, so that a wrong one of a service is found before anything starts.

    Raises:
        Misconfigured: a value is wrong. The message names the variable.
    """
    for concern in CONCERNS:
        load(concern)
    settings = load(StackSettings)
    load(AccessSettings).check_host(settings.host)
    return settings
