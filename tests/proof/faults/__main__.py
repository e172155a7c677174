"""python -m tests.proof.faults --seconds 60 --seed 7"""

import sys

from tests.proof.faults.cli import main

sys.exit(main())
