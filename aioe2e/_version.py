"""The version, in the one place that packaging and the User-Agent read."""

__version__ = "0.2.0.dev0"
