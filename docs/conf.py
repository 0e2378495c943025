"""Sphinx configuration: `python -m sphinx -W -b html docs build/docs` builds the site offline."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "_extensions"), str(DOCS.parent)]

project = "sac_ros"
author = "sac_ros maintainers"
copyright = "sac_ros maintainers, Apache-2.0"

extensions = ["myst_parser", "sphinx_copybutton", "sphinx_design", "sac_ros_reference"]
exclude_patterns = ["_extensions"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nitpicky = True

smartquotes = False  # the prime of s' stays a prime
html_theme = "furo"
html_title = "sac_ros"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_sphinx = False
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
