"""How Sphinx builds these pages: `make docs`. Nothing is downloaded."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import hybridopt

project = "hybridopt"
author = "The hybridopt founders"
copyright = "2026, the hybridopt founders"
release = version = hybridopt.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "py:obj"  # `name` in a docstring links to what has this name, if anything has

myst_heading_anchors = 3
autosummary_generate = True
autodoc_typehints = "none"  # docstrings say types, with shapes
autodoc_preserve_defaults = True
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "hybridopt"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"**": ["pages.html"]}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_center": [],  # all pages stand on the left
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
}


def setup(app: Any) -> None:
    """Connect the corrections below."""
    app.connect("autodoc-skip-member", _skip_aliases)
    app.connect("autodoc-process-signature", _signature_of_init)


def _skip_aliases(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what a NamedTuple says of its fields; the class's docstring says more."""
    return True if (inspect.getdoc(member) or "").startswith("Alias for field number") else None


def _signature_of_init(app: Any, what: str, name: str, thing: Any, *_: Any) -> tuple[str, None] | None:
    """Where a class has `__new__` too (`Hybrid`), show what `__init__` takes."""
    if what != "class" or "__new__" not in vars(thing) or "__init__" not in vars(thing):
        return None
    parameters = list(inspect.signature(thing.__init__).parameters.values())[1:]
    return str(inspect.Signature([_shown(parameter) for parameter in parameters])), None


def _shown(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter without annotation, and with a default that reads as in the source."""
    default = parameter.default
    if isinstance(default, type) and default is not inspect.Parameter.empty:
        default = _Words(default.__name__)
    elif dataclasses.is_dataclass(default):
        default = _Words(f"{type(default).__name__}()")
    return parameter.replace(annotation=inspect.Parameter.empty, default=default)


class _Words(str):
    """A text that is shown without quotes."""

    __repr__ = str.__str__
