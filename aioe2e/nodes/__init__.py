"""Nodes, read-only."""

from .actions import Nodes

__all__ = ["Nodes"]
