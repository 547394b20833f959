"""Sphinx settings: `sphinx-build -W docs docs/_build`."""

import sys
from pathlib import Path

import scipy.stats  # noqa: F401 - before PyTorch is mocked: SciPy's import asks for its classes

import eigenflow

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "eigenflow"
author = "The eigenflow developers"
version = release = eigenflow.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "run_code",
    "reliability",
]
html_theme = "pydata_sphinx_theme"
html_title = "eigenflow"
html_static_path = ["_static"]
html_css_files = ["page.css"]
html_theme_options = {"show_toc_level": 2, "header_links_before_dropdown": 7}
# Pages without pages below them have no navigation of their section.
html_sidebars = {page: [] for page in ("install", "cpp", "reliability", "development")}
exclude_patterns = ["_build"]
numpydoc_show_class_members = False
autosummary_generate = True
autodoc_typehints = "none"  # they are in the tables of parameters, in words
autodoc_mock_imports = ["torch", "safetensors"]  # the docs are built without PyTorch
nitpicky = False
