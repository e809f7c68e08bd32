"""Settings, and where users keep them."""

from .address import (
    DEFAULT_BASE_URL,
    checked_base_url,
    checked_location,
    checked_project_id,
    is_loopback,
)
from .discovery import Discovery, FoundProfile, FoundSetting, discovered
from .environment import from_environment
from .profiles import from_files
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
