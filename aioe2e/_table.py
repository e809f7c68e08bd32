"""Text tables, until every caller takes them from `_text`."""

from ._text import counted, table

__all__ = ["counted", "table"]
