"""Settings, and where users keep them.

What reads settings from the environment and from files loads when it is first asked for: most
sessions are given theirs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .address import (
    DEFAULT_BASE_URL,
    checked_base_url,
    checked_location,
    checked_project_id,
    is_loopback,
)
from .seams import Guard, Limiter, PerAccount, checked_guard, checked_limiter
from .secrecy import looks_secret, settings_with_secrets
from .values import (
    Credentials,
    Dialect,
    Limits,
    RetryPolicy,
    Timeouts,
    TokenSource,
    checked_secret,
)

if TYPE_CHECKING:
    from .discovery import Discovery, FoundProfile, FoundSetting, discovered
    from .environment import from_environment
    from .profiles import from_files

__all__ = [
    "DEFAULT_BASE_URL",
    "Credentials",
    "Dialect",
    "Discovery",
    "FoundProfile",
    "FoundSetting",
    "Guard",
    "Limiter",
    "Limits",
    "PerAccount",
    "RetryPolicy",
    "Timeouts",
    "TokenSource",
    "checked_base_url",
    "checked_guard",
    "checked_limiter",
    "checked_location",
    "checked_project_id",
    "checked_secret",
    "discovered",
    "from_environment",
    "from_files",
    "is_loopback",
    "looks_secret",
    "settings_with_secrets",
]

#: The module of each name that loads when it is first asked for.
_LATER = {
    "Discovery": "discovery",
    "FoundProfile": "discovery",
    "FoundSetting": "discovery",
    "discovered": "discovery",
    "from_environment": "environment",
    "from_files": "profiles",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value
