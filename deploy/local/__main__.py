"""Run the whole system on this machine, without Docker: `python -m deploy.local --help`."""

import sys

try:
    from deploy.local.cli import main

    main()
except ModuleNotFoundError as error:
    sys.exit(f"The Python package {error.name} is missing; run: pip install -e '.[local]'")
except KeyboardInterrupt:
    sys.exit(130)
