"""Recipes: one function each, which says in its docstring what it reproduces, what it costs, and how it is run.

A recipe is a starting point: copy the function, change it, and give the result to the trainer. Nothing here needs
torch.
"""

from __future__ import annotations

from collections.abc import Callable

from . import lab, paper, smoke, tiny
from .recipe import DataNeeds, Recipe, Stage, objective_config

__all__ = ["RECIPES", "DataNeeds", "Recipe", "Stage", "find_recipe", "objective_config"]

RECIPES: dict[str, Callable[[], Recipe]] = {
    "base_contrastive": paper.base_contrastive,
    "base_masked": paper.base_masked,
    "base_text": paper.base_text,
    "giant_contrastive": paper.giant_contrastive,
    "giant_masked": paper.giant_masked,
    "giant_text": paper.giant_text,
    "tiny_images": tiny.tiny_images,
    "tiny_contrastive": tiny.tiny_contrastive,
    "tiny_masked": tiny.tiny_masked,
    "tiny_text": tiny.tiny_text,
    "lab_adapt": lab.lab_adapt,
    "lab_finetune": lab.lab_finetune,
    "smoke": smoke.smoke,
    "smoke_masked": smoke.smoke_masked,
    "smoke_text": smoke.smoke_text,
}


def find_recipe(name: str, stage: Stage | None = None) -> Recipe:
    """Look up a recipe.

    Parameters
    ----------
    name : str
        One of :data:`RECIPES`; where a stage is given, ``tiny`` is ``tiny_contrastive``, ``tiny_masked`` and so on.
    stage : str, optional
        What it must be for.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If there is none of this name, or it is for another stage.

    Examples
    --------
    >>> find_recipe("tiny", stage="masked").name
    'tiny_masked'
    """
    candidates = (name, f"{name}_{stage}") if stage else (name,)
    found = [RECIPES[candidate]() for candidate in candidates if candidate in RECIPES]
    fitting = [recipe for recipe in found if stage in (None, recipe.stage)]
    if fitting:
        return fitting[0]
    names = sorted(each for each, make in RECIPES.items() if stage in (None, make().stage))
    of_stage = f" of the stage {stage}" if stage else ""
    raise ValueError(f"recipe: expected one{of_stage} of {', '.join(names)}, got {name!r}")
