"""Is it set up right, and how does this account's API behave?"""

from typing import TYPE_CHECKING

from aioe2e._lazy import lazy_door

if TYPE_CHECKING:
    from .check import Check, check_session
    from .field_report import FieldReport, read_field_report
    from .trial import Trial

__all__ = ["Check", "FieldReport", "Trial", "check_session", "read_field_report"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_door(
        __name__,
        {
            "check": ["Check", "check_session"],
            "field_report": ["FieldReport", "read_field_report"],
            "trial": ["Trial"],
        },
    )
