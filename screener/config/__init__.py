"""Configuration: layered YAML files → frozen models and a compiled policy, or every reason why not.

`load` is all that others need. Every default stands in the shipped files and nowhere else, so
the merged tree must be complete; a file of the site needs to hold only what it changes.
"""

from screener.config.examples import failing
from screener.config.layers import SITE, shipped_dir, stamps
from screener.config.loading import Config, load, state_dir
from screener.config.packs import failing_packs
from screener.config.pbxs import SECRET_VARIABLE
from screener.config.settings import Ami, Log, Redis, Settings, Tls

__all__ = [
    "SECRET_VARIABLE",
    "SITE",
    "Ami",
    "Config",
    "Log",
    "Redis",
    "Settings",
    "Tls",
    "failing",
    "failing_packs",
    "load",
    "shipped_dir",
    "stamps",
    "state_dir",
]
