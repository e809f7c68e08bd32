"""Settings, and where users keep them.

What reads settings from the environment and from files loads when it is first used.
"""

from typing import TYPE_CHECKING

from aioe2e._lazy import lazy_door

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

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_door(
        __name__,
        {
            "discovery": ["Discovery", "FoundProfile", "FoundSetting", "discovered"],
            "environment": ["from_environment"],
            "profiles": ["from_files"],
        },
    )
