import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "docs"))
import behavior_prism

project = "behavior_prism"
author = "the behavior_prism developers"
release = version = behavior_prism.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc"]
autosummary_generate = True
templates_path = ["_templates"]
autodoc_member_order = "bysource"
# scikit-learn adds these to every estimator, with links into its own documentation
autodoc_default_options = {
    "exclude-members": "set_fit_request, set_score_request, set_predict_request, set_predict_proba_request"
}
numpydoc_show_class_members = False
exclude_patterns = ["_build", "_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "behavior_prism"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_static_path = ["_static"]
