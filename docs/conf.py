"""The site that ``python -m nox -s docs`` makes of these pages and of the docstrings."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from docutils import nodes
from sphinx.ext.napoleon.docstring import GoogleDocstring
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

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autosummary_generate = False
#: One parameter a line where a signature is longer than this.
maximum_signature_line_length = 70
napoleon_use_ivar = False

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


class WholeAttributes(GoogleDocstring):
    """Comments of attributes as they stand: Google's style makes a type of what is before the first
    colon of a sentence."""

    def _consume_inline_attribute(self) -> tuple[str, list[str]]:
        return "", self._dedent(self._consume_to_end())


#: A field of a docstring that stands for a type, and one that names what is raised.
_TYPE = re.compile(r":(?:type[^:]*|rtype): *(.*)")
_RAISES = re.compile(r":raises *(.*?):")
_TWO_WORDS = re.compile(r"[A-Za-z]+ (?!or )[a-z]+")


def types_in_signatures(
    _app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """Show the type of an attribute behind its name, without its module, as other types are.

    Napoleon puts it below the text.
    """
    shown: list[str] = []
    name_at = 0
    for line in lines:
        if line.lstrip().startswith(".. attribute::"):
            name_at = len(shown)
        if line.startswith("   :type:"):
            shown.insert(name_at + 1, re.sub(r"\baioe2e\.(?:[a-z_]+\.)+(?=[A-Z])", "", line))
        else:
            shown.append(line)
    lines[:] = shown


def warn_of_sentences_as_types(
    _app: Any, _what: str, name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """Complain where a sentence of a docstring has become a type: the build fails on warnings."""
    for line in lines:
        found = _TYPE.match(line) or _RAISES.match(line)
        if found is not None and _TWO_WORDS.search(found[1]):
            logging.getLogger(__name__).warning("%s: a sentence is shown as a type: %s", name, line)


def warn_of_types_as_fields(_app: Any, page: nodes.document) -> None:
    """Complain of a field "Type": it is the beginning of a sentence that was cut at its colon."""
    for field in page.findall(nodes.field_name):
        if field.astext() == "Type":
            logging.getLogger(__name__).warning(
                "a sentence is shown as a type: %s", field.parent.astext(), location=field
            )


def setup(app: Any) -> None:
    GoogleDocstring._consume_inline_attribute = WholeAttributes._consume_inline_attribute
    app.connect("autodoc-process-signature", without_internals)
    app.connect("autodoc-process-docstring", types_in_signatures, priority=900)
    app.connect("autodoc-process-docstring", warn_of_sentences_as_types, priority=900)
    app.connect("missing-reference", public_name)
    app.connect("doctree-read", warn_of_types_as_fields)
