"""Settings of the documentation site: ``make docs`` builds it into docs/_build/html."""

import os
import sys
import tempfile
from importlib.metadata import version as version_of
from pathlib import Path

import matplotlib

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS / "extensions"), str(DOCS.parent)]
# Notebooks run in other processes: they find the modules here, and record into folders that are theirs alone.
os.environ["PYTHONPATH"] = os.pathsep.join([str(DOCS), str(DOCS.parent), os.environ.get("PYTHONPATH", "")])
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="trajlab-docs-state-")
matplotlib.use("Agg")  # here; notebooks show their figures
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks: threads would only wait for each other
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

project = "trajlab"
author = "the trajlab authors"
version = release = version_of("trajlab")
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "stage_pages",
    "command_pages",
    "experiment_pages",
]
exclude_patterns = ["_build", "extensions"]
nitpicky = True
default_role = "literal"
highlight_language = "none"
suppress_warnings = ["mystnb.unknown_mime_type"]  # of progress bars

# Names in the types of parameters that are no pages of this site; it links to no other, as it is read offline.
nitpick_ignore_regex = [(r"py:.*", r"(?!trajlab\.(open|run|replay|pack|figure|report)$).*")]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 0), ("html", "image/svg+xml", 1), ("html", "image/png", 2)]

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "trajlab"
html_static_path = ["_static"]
html_css_files = ["trajlab.css"]
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"index": []}
html_theme_options = {
    "logo": {"text": "trajlab"},
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "show_prev_next": True,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
