"""The site that ``python -m nox -s docs`` makes of these pages and of the docstrings."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

project = "aioe2e"
copyright = "the aioe2e developers"  # noqa: A001  # Sphinx's word for it
release = metadata.version("aioe2e")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md"]  # the index for readers on a code host
html_theme = "furo"
html_title = f"aioe2e {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]

default_role = "py:obj"
myst_heading_anchors = 3
#: Links that lead out of this folder; whether they lead anywhere is tested.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
#: One parameter a line where a signature is longer than this.
maximum_signature_line_length = 70
napoleon_use_ivar = True

#: A parameter whose name begins with an underscore, and the bare star before it.
_PRIVATE_PARAMETER = re.compile(r"(, \*)?, _\w+: [^,()]+(?=[,)])")


def without_internals(
    _app: Any,
    _what: str,
    _name: str,
    _object: Any,
    _options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """A signature as users see it; none where only the library makes such an object."""
    if signature is None:
        return None
    shown = _PRIVATE_PARAMETER.sub("", signature)
    if re.search(r"aioe2e(\.\w+)*\._", shown):
        return "", returns
    return shown, returns


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", without_internals)
