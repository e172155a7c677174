"""Run a service without some safeguards."""

import runpy
import sys

from tests.sabotage import SABOTAGES

safeguards, service = sys.argv[1:]
for safeguard in safeguards.split(","):
    SABOTAGES[safeguard]()
runpy.run_module(service, run_name="__main__")
