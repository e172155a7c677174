"""Run a service without some safeguards."""

import runpy
import sys

from tests.sabotage import SABOTAGES

_, safeguards, service = sys.argv
sys.argv[1:] = []  # the service takes its own arguments
for safeguard in safeguards.split(","):
    SABOTAGES[safeguard]()
runpy.run_module(service, run_name="__main__")
