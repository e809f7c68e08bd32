"""The site that ``python -m nox -s docs`` makes of these pages and of the docstrings."""

from __future__ import annotations

from importlib import metadata

project = "aioe2e"
copyright = "the aioe2e developers"  # noqa: A001  # Sphinx's word for it
release = metadata.version("aioe2e")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md"]  # the index for readers on a code host
html_theme = "furo"
html_title = f"aioe2e {release}"

default_role = "py:obj"
myst_heading_anchors = 3
#: Links that lead out of this folder; whether they lead anywhere is tested.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True
