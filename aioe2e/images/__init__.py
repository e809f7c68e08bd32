"""Saved images: the actions, and what a listing proves."""

from .actions import Images
from .memory import ImageMemory

__all__ = ["ImageMemory", "Images"]
