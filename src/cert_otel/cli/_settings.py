"""Settings as commands see them: what is wrong with them is an error."""

from __future__ import annotations

import os

from cert_otel.config import Config
from cert_otel.errors import ConfigError
from cert_otel.pricing import check_files


def get_valid_config() -> Config:
    """Return the settings of the environment; what `configure` set in code is another program's.

    Raises:
        ConfigError: When a `CERT_OTEL_*` variable is unknown or malformed; names all of them.
        InputError: When a file of prices that they name cannot be used.
    """
    settings = get_valid_variables()
    check_files(settings)
    return settings


def get_valid_variables() -> Config:
    """Return the settings of the environment, whatever the files are like that they name.

    Raises:
        ConfigError: When a `CERT_OTEL_*` variable is unknown or malformed; names all of them.
    """
    settings, problems = Config.from_environ(os.environ)
    if problems:
        first, *others = problems
        text = "; ".join([first.problem, *(str(other) for other in others)])
        raise ConfigError(first.setting, text)
    return settings
