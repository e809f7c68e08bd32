"""Nodes, read-only."""

from typing import TYPE_CHECKING

from aioe2e._lazy import lazy_door

if TYPE_CHECKING:
    from .actions import Nodes

__all__ = ["Nodes"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_door(__name__, {"actions": ["Nodes"]})
