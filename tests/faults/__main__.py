"""python -m tests.faults --seconds 60 --seed 7"""

import sys

from tests.faults.cli import main

sys.exit(main())
