"""Print the OpenAPI document, for `gateway/docs/openapi.json`: `python -m gateway.openapi`."""

import json
import sys

from gateway.app import create_app
from shared.process.settings import NatsSettings

if __name__ == "__main__":
    json.dump(create_app(NatsSettings()).openapi(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
