"""Saved images: the actions, and what a listing proves."""

from .actions import Images
from .memory import ImageMemory
from .naming import fits
from .writes import Writes

__all__ = ["ImageMemory", "Images", "Writes", "fits"]
