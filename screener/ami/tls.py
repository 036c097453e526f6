"""How the connection to Asterisk is encrypted."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from screener.errors import ConfigError

if TYPE_CHECKING:
    from screener.config.settings import Tls


def context(settings: Tls) -> ssl.SSLContext | None:
    """What the settings ask for, None if it is not to be encrypted; ConfigError for a bad certificate."""
    if not settings.enabled:
        return None
    try:
        made = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"ami.tls.ca_file: {settings.ca_file}: {error}"]) from error
    if not settings.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
