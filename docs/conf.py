import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "docs"))
import behavior_prism

project = "behavior_prism"
author = "the behavior_prism developers"
release = version = behavior_prism.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc"]
autosummary_generate = True
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = "behavior_prism"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_static_path = ["_static"]
