"""The site that ``python -m nox -s docs`` makes of these pages and of the docstrings."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

project = "aioe2e"
copyright = "the aioe2e developers"  # noqa: A001  # Sphinx's word for it
release = metadata.version("aioe2e")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["README.md"]  # the index for readers on a code host
html_theme = "furo"
html_title = f"aioe2e {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]

default_role = "py:obj"
#: A name in single backquotes that leads nowhere is an error. Types in signatures are not checked:
#: most of them are Python's own.
nitpicky = True
nitpick_ignore_regex = [("py:(?!obj|exc).*", ".*")]
myst_heading_anchors = 3
#: Links that lead out of this folder; whether they lead anywhere is tested.
suppress_warnings = ["myst.xref_missing"]

autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autosummary_generate = False
#: One parameter a line where a signature is longer than this.
maximum_signature_line_length = 70
napoleon_use_ivar = True

#: A parameter whose name begins with an underscore, and the bare star before it.
_PRIVATE_PARAMETER = re.compile(r"(, \*)?, _\w+: [^,()]+(?=[,)])")
#: Where public names are described, in the order in which they are looked for.
_PUBLIC = (
    "aioe2e",
    "aioe2e.errors",
    "aioe2e.events",
    "aioe2e.select",
    "aioe2e.fleet",
    "aioe2e.testing",
    "aioe2e.bulk",
    "aioe2e.session",
)


def without_internals(
    _app: Any,
    _what: str,
    _name: str,
    _object: Any,
    _options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Return a signature as users see it; none if only the library makes such an object."""
    if signature is None:
        return None
    shown = _PRIVATE_PARAMETER.sub("", signature).replace(" = NOTHING", " = ...")
    is_internal = re.search(r"aioe2e(\.\w+)*\._", shown) is not None
    is_of_protocol = shown == "(*args, **kwargs)"
    if is_internal or is_of_protocol:
        return "", returns
    return shown, returns


def whole_sentences(
    _app: Any, what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """Keep napoleon from reading "One of three: a, b, c." as a type and a text.

    It does so with the first line of what describes an attribute: here, that is an empty comment.
    """
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def public_name(app: Any, env: Any, node: Any, shown: Any) -> Any:
    """Resolve a name that a docstring or a signature has without its module, or with another."""
    if node.get("refdomain") != "py":
        return None
    name = re.sub(r"^aioe2e\.(?:[a-z_]+\.)*", "", node["reftarget"])
    for module in _PUBLIC:
        found = env.get_domain("py").resolve_xref(
            env, node["refdoc"], app.builder, "obj", f"{module}.{name}", node, shown
        )
        if found is not None:
            return found
    return None


def warn_of_cut_sentences(_app: Any, page: Any) -> None:
    """Warn of an attribute whose description was read as a type and a text."""
    for described in page.findall(addnodes.desc):
        for field in described.findall(nodes.field_name):
            if field.astext() == "Type":
                text = field.parent.astext()
                logging.getLogger(__name__).warning(
                    "a description is cut at its colon: %s", text, location=described
                )


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", without_internals)
    app.connect("autodoc-process-docstring", whole_sentences, priority=100)  # before napoleon
    app.connect("missing-reference", public_name)
    app.connect("doctree-read", warn_of_cut_sentences)
