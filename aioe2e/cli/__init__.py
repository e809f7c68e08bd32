"""The command line ``aioe2e``, which needs the extra ``aioe2e[cli]``. `main` is its door."""

from .command_line import main

__all__ = ["main"]
