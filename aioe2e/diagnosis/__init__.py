"""Is it set up right, and how does this account's API behave?"""

from .check import Check, check_session
from .field_report import FieldReport, read_field_report
from .trial import Trial

__all__ = ["Check", "FieldReport", "Trial", "check_session", "read_field_report"]
