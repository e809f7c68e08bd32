"""Is it set up right, and how does this account's API behave?"""

from .check import Check, check_session

__all__ = ["Check", "check_session"]
