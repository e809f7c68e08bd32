"""Is it set up right, and how does this account's API behave?"""

from .check import Check, check

__all__ = ["Check", "check"]
