"""Read a setting that may contain a secret: from its variable, or from the file that `<variable>_FILE` names.

A file is kept out of `docker inspect`, of `/proc/<pid>/environ` and of crash reports.
"""

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource


class Secret:
    """Marks a field of settings that may contain a secret, as in `Annotated[str, SECRET]`."""


SECRET = Secret()


class UnusableSecret(Exception):
    """A secret cannot be read. The message names the variable, and contains nothing of the secret."""


def read_secret(variable: str) -> str | None:
    """Return the value of a variable, or the content of the file that `<variable>_FILE` names.

    An empty variable counts as unset. The line end at the end of the file is no part of the secret.

    Raises:
        UnusableSecret: both are set, or the file cannot be read or is empty.
    """
    value, file = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
    if not file:
        return value or None
    if value:
        raise UnusableSecret(f"{variable}_FILE: must not be set, because {variable} is")
    try:
        content = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise UnusableSecret(f"{variable}_FILE: cannot be read: {error.strerror}") from None
    except ValueError:
        raise UnusableSecret(f"{variable}_FILE: must be a text in UTF-8") from None
    if not content:
        raise UnusableSecret(f"{variable}_FILE: the file is empty")
    return content


class SecretFiles(PydanticBaseSettingsSource):
    """A source of settings: the files of the fields that are marked with `SECRET`."""

    def __init__(self, settings: type[BaseSettings]) -> None:
        super().__init__(settings)
        self._names = [name for name, field in settings.model_fields.items() if SECRET in field.metadata]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value = read_secret(field_name.upper()) if field_name in self._names else None
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: read_secret(name.upper()) for name in self._names}
        return {name: value for name, value in values.items() if value is not None}
