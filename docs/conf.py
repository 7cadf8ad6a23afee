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
exclude_patterns = ["_build", "_templates", "_formats.rst"]
html_theme = "pydata_sphinx_theme"
html_title = "behavior_prism"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_static_path = ["_static"]


def write_formats() -> None:
    """The table of label formats, from what the modules state about themselves."""
    from behavior_prism.datasets import label_formats

    head = ("name", "what", "written", "counts in", "first frame, end", "a frame without a label", "tested on")
    rows = [
        (
            f"``{f.name}``", f.title, "yes" if f.writes else "no", f.unit,
            f"{'' if f.base is None else f.base}{', ' if f.base is not None and f.end else ''}{f.end or ''}",
            f.unlabelled, f.evidence,
        )
        for f in label_formats()
    ]  # fmt: skip
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        lines += [f"   {'* -' if k == 0 else '  -'} {cell}" for k, cell in enumerate(row)]
    path = Path(__file__).parent / "_formats.rst"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


write_formats()
