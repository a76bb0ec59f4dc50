"""Settings as commands see them: what is wrong with them is an error."""

from __future__ import annotations

from cert_otel import config
from cert_otel.errors import ConfigError


def get_valid_config() -> config.Config:
    """Return the settings.

    Raises:
        ConfigError: When a `CERT_OTEL_*` variable is unknown or malformed; names all of them.
    """
    problems = config.get_problems()
    if problems:
        first, *others = problems
        text = "; ".join([first.problem, *(str(other) for other in others)])
        raise ConfigError(first.setting, text)
    return config.get_config()
