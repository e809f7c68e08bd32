"""Saved images: the actions, and what a listing proves."""
