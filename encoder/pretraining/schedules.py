"""Learning rates as pure functions of the step: nothing to save, exact after a resume.

Steps count from 0 and warm-up starts at 0, as in optax: the update of step 0 has learning rate 0, that of step
``warmup`` the peak. VideoPrism (Zhao et al., ICML 2024, arXiv 2402.13217): linear decay in stage 1, cosine in stage 2.
"""

from __future__ import annotations

import math

from .trainer_config import ScheduleConfig


def learning_rate(config: ScheduleConfig, steps: int, step: int) -> float:
    """Learning rate of a step.

    Parameters
    ----------
    config : ScheduleConfig
        Shape and numbers.
    steps : int
        Of the whole run.
    step : int
        From 0.

    Returns
    -------
    float

    Examples
    --------
    >>> learning_rate(ScheduleConfig(shape="linear", peak=1.0, warmup=10), steps=110, step=60)
    0.5
    """
    if config.shape == "constant":
        return warmup_constant(step, config.peak, config.warmup)
    if config.shape == "linear":
        return warmup_linear(step, config.peak, config.warmup, steps)
    return warmup_cosine(step, config.peak, config.warmup, steps, config.floor)


def warmup_constant(step: int, peak: float, warmup: int) -> float:
    """Rise in a line from 0, then stay.

    Parameters
    ----------
    step : int
        From 0.
    peak : float
        Reached at step ``warmup``.
    warmup : int
        Steps of the rise; 0 for none.

    Returns
    -------
    float

    Examples
    --------
    >>> [warmup_constant(step, 1.0, 2) for step in range(4)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return peak * step / warmup if step < warmup else peak


def warmup_linear(step: int, peak: float, warmup: int, steps: int) -> float:
    """Rise in a line from 0, then fall in a line to 0 at step ``steps``.

    Parameters
    ----------
    step : int
        From 0.
    peak : float
        Reached at step ``warmup``.
    warmup, steps : int
        Steps of the rise, and of all.

    Returns
    -------
    float

    Examples
    --------
    >>> [warmup_linear(step, 1.0, 2, 6) for step in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup:
        return peak * step / warmup
    return peak * (1 - _done(step, warmup, steps))


def warmup_cosine(step: int, peak: float, warmup: int, steps: int, floor: float) -> float:
    """Rise in a line from 0, then fall along half a cosine to ``floor`` at step ``steps``.

    Parameters
    ----------
    step : int
        From 0.
    peak : float
        Reached at step ``warmup``.
    warmup, steps : int
        Steps of the rise, and of all.
    floor : float
        Where it ends.

    Returns
    -------
    float

    Examples
    --------
    >>> round(warmup_cosine(6, 1.0, 2, 10, 0.2), 6)
    0.6
    """
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * _done(step, warmup, steps)))


def _done(step: int, warmup: int, steps: int) -> float:
    """Part of the fall that lies behind."""
    return min(1.0, (step - warmup) / max(1, steps - warmup))
