"""Code that client, gateway and workers share. Others install its client and contract as `slotkeeper`.

    from slotkeeper import BookingClient

The public names are `__version__` and those of `client`, which is imported when one of them is first used. A
worker never imports it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .contract import version as _version

__version__ = _version.VERSION

if TYPE_CHECKING:
    from .client import *  # noqa: F403
    from .client import __all__ as __all__


def __getattr__(name: str) -> Any:
    if name == "__all__" or not name.startswith("_"):
        client = import_module(".client", __name__)
        if name == "__all__" or name in client.__all__:
            return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
