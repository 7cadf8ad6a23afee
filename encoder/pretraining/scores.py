"""What embeddings are worth: retrieval, classification by prompts and by a small head, and signs of collapse.

Papers: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217) for retrieval and zero-shot classification; Radford et
al., CLIP, 2021 (arXiv 2103.00020) for ensembles of prompts; Garrido et al., RankMe, ICML 2023 (arXiv 2210.02885) for
the effective rank.

Retrieval and classification count ties as if they were broken at random, and give the expected score: embeddings that
are all the same score at chance, and texts that occur twice are not held against a model. Of embeddings that are not
finite all scores are NaN: they are worth nothing that could be compared.

Shapes: V clips, S texts, N samples, C classes, P prompts of a class, D channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

RANKS = (1, 5, 10)


def retrieval_scores(
    video_VD: Tensor, text_SD: Tensor, video_of_text_S: Tensor | None = None, ranks: tuple[int, ...] = RANKS
) -> dict[str, float]:
    """Fraction of texts whose clip is among the first k, and of clips of which some text is.

    Parameters
    ----------
    video_VD, text_SD : torch.Tensor
        Embeddings of length one, shapes (V, D) and (S, D).
    video_of_text_S : torch.Tensor, optional
        The clip of each text, whole numbers below V, shape (S,); a clip may have several. The texts belong to the
        clips in order by default.
    ranks : tuple of int
        The k.

    Returns
    -------
    dict of str to float
        ``text_to_video_r1``, ``video_to_text_r1`` and so on, from 0 to 1.

    Raises
    ------
    ValueError
        If sizes do not fit together or a clip has no text.

    Examples
    --------
    >>> retrieval_scores(torch.eye(2), torch.eye(2).flip(0), torch.tensor([1, 0]), (1,))
    {'text_to_video_r1': 1.0, 'video_to_text_r1': 1.0}
    """
    own_VS = _own_texts(video_VD, text_SD, video_of_text_S)
    similar_VS = (video_VD.double() @ text_SD.double().T).to(own_VS.device)
    if not bool(similar_VS.isfinite().all()):
        return {f"{way}_r{k}": math.nan for way in ("text_to_video", "video_to_text") for k in ranks}
    by_text = _hits(similar_VS.T, own_VS.T, ranks)
    by_clip = _hits(similar_VS, own_VS, ranks)
    scores = {f"text_to_video_r{k}": float(hit) for k, hit in zip(ranks, by_text, strict=True)}
    return scores | {f"video_to_text_r{k}": float(hit) for k, hit in zip(ranks, by_clip, strict=True)}


def _own_texts(video: Tensor, text: Tensor, video_of_text: Tensor | None) -> Tensor:
    """Which texts are whose: bool (V, S)."""
    if video.ndim != 2 or text.ndim != 2 or video.shape[1] != text.shape[1] or 0 in video.shape or 0 in text.shape:
        raise ValueError(f"embeddings: expected shapes (V, D) and (S, D), got {(*video.shape,)} and {(*text.shape,)}")
    if video_of_text is None:
        if len(video) != len(text):
            raise ValueError(
                f"video_of_text: expected the clip of each text where their numbers differ ({len(video)} clips, "
                f"{len(text)} texts), got none"
            )
        video_of_text = torch.arange(len(text))
    if tuple(video_of_text.shape) != (len(text),) or video_of_text.is_floating_point():
        raise ValueError(
            f"video_of_text: expected {len(text)} whole numbers, got {video_of_text.dtype} "
            f"of shape {tuple(video_of_text.shape)}"
        )
    own = torch.arange(len(video))[:, None] == video_of_text.cpu()[None]
    if not bool(own.any(0).all()):
        raise ValueError(f"video_of_text: expected numbers from 0 to {len(video) - 1}, got others")
    if not bool(own.any(1).all()):
        raise ValueError(f"video_of_text: expected at least one text for each clip, got none for {_first_false(own)}")
    return own


def _first_false(own: Tensor) -> int:
    return int((~own.any(1)).nonzero()[0])


def _hits(similar_QR: Tensor, own_QR: Tensor, ranks: tuple[int, ...]) -> list[Tensor]:
    """Probability that some right answer is among the first k, mean over queries; ties in random order."""
    best_Q1 = similar_QR.masked_fill(~own_QR, -math.inf).amax(1, keepdim=True)
    better_Q = (similar_QR > best_Q1).sum(1)
    tied_QR = similar_QR == best_Q1
    right_Q, tied_Q = (tied_QR & own_QR).sum(1), tied_QR.sum(1)
    hits = []
    for k in ranks:
        # draws from the tied ones until k are full: 1 - product of the chances to draw a wrong one each time
        missed_Q = torch.ones(len(best_Q1), dtype=torch.float64)
        for drawn in range(k):
            chance_Q = (tied_Q - right_Q - drawn).clamp(min=0) / (tied_Q - drawn).clamp(min=1)
            missed_Q = torch.where(drawn < k - better_Q, missed_Q * chance_Q, missed_Q)
        hits.append((1 - missed_Q).mean())
    return hits


def prompt_embeddings(text_ND: Tensor, num_classes: int) -> Tensor:
    """One embedding per class from those of its prompts: their mean, brought to length one.

    Parameters
    ----------
    text_ND : torch.Tensor
        Embeddings of length one in the order of :func:`behavior_prism.encoder.fill_templates`: all prompts of the
        first class, then of the second; shape (C * P, D).
    num_classes : int
        C.

    Returns
    -------
    torch.Tensor
        Shape (C, D).

    Raises
    ------
    ValueError
        If classes have different numbers of prompts.

    Examples
    --------
    >>> prompt_embeddings(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 1)
    tensor([[0.7071, 0.7071]])
    """
    if text_ND.ndim != 2 or num_classes < 1 or not len(text_ND) or len(text_ND) % num_classes:
        raise ValueError(f"expected the same number of prompts for {num_classes} classes, got {tuple(text_ND.shape)}")
    return F.normalize(text_ND.unflatten(0, (num_classes, -1)).mean(1), dim=1)


def class_scores(scores_NC: Tensor, labels_N: Tensor) -> dict[str, float]:
    """Accuracy of the highest score, over samples and as the mean over classes.

    Parameters
    ----------
    scores_NC : torch.Tensor
        One per class, shape (N, C).
    labels_N : torch.Tensor
        Classes, whole numbers below C, shape (N,).

    Returns
    -------
    dict of str to float
        ``accuracy`` and ``balanced_accuracy`` (mean over the classes that occur), from 0 to 1.

    Raises
    ------
    ValueError
        If sizes do not fit together.

    Examples
    --------
    >>> class_scores(torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]), torch.tensor([0, 0, 1]))
    {'accuracy': 0.6666666666666666, 'balanced_accuracy': 0.5}
    """
    labels = _check_labels(labels_N, len(scores_NC), scores_NC.shape[1])
    scores = scores_NC.cpu()
    best_NC = scores == scores.amax(1, keepdim=True)  # none where a score is NaN: 0 / 0 then
    right = best_NC.gather(1, labels[:, None]).squeeze(1).double() / best_NC.sum(1)
    per_class = [float(right[labels == c].mean()) for c in labels.unique()]
    return {"accuracy": float(right.mean()), "balanced_accuracy": sum(per_class) / len(per_class)}


def _check_labels(labels: Tensor, count: int, num_classes: int | None = None) -> Tensor:
    if tuple(labels.shape) != (count,) or labels.is_floating_point() or not count:
        raise ValueError(f"labels: expected {count} classes, got {labels.dtype} of shape {tuple(labels.shape)}")
    labels = labels.cpu().long()
    if int(labels.min()) < 0 or (num_classes is not None and int(labels.max()) >= num_classes):
        until = "up" if num_classes is None else f"to {num_classes - 1}"
        raise ValueError(f"labels: expected classes from 0 {until}, got {int(labels.min())} to {int(labels.max())}")
    return labels


def nearest_centroid(train_ND: Tensor, labels_N: Tensor, test_MD: Tensor) -> Tensor:
    """Cosine between standardised samples and the mean of each class: nothing is learned.

    Parameters
    ----------
    train_ND : torch.Tensor
        Features, shape (N, D).
    labels_N : torch.Tensor
        Their classes, shape (N,).
    test_MD : torch.Tensor
        Features of samples to be classified, shape (M, D).

    Returns
    -------
    torch.Tensor
        Scores, shape (M, C); of a class that does not occur, minus infinity.

    Examples
    --------
    >>> nearest_centroid(torch.eye(2), torch.tensor([0, 1]), torch.tensor([[1.0, 0.0]])).round()
    tensor([[ 1., -1.]])
    """
    labels = _check_labels(labels_N, len(train_ND))
    train, test = _standardised(train_ND, test_MD)
    centroids = torch.zeros(int(labels.max()) + 1, train.shape[1], dtype=train.dtype)
    centroids = centroids.index_add(0, labels, train) / labels.bincount().clamp(min=1)[:, None]
    scores = F.normalize(test, dim=1) @ F.normalize(centroids, dim=1).T
    return scores.masked_fill(labels.bincount() == 0, -math.inf).to(test_MD.dtype)


def linear_probe(train_ND: Tensor, labels_N: Tensor, test_MD: Tensor, c: float = 1.0) -> Tensor:
    """Logistic regression on standardised features, as scikit-learn's: ``C * sum of losses + |weights|^2 / 2``.

    Parameters
    ----------
    train_ND : torch.Tensor
        Features, shape (N, D).
    labels_N : torch.Tensor
        Their classes, shape (N,).
    test_MD : torch.Tensor
        Features of samples to be classified, shape (M, D).
    c : float
        Inverse strength of the penalty.

    Returns
    -------
    torch.Tensor
        Logits, shape (M, C).

    Raises
    ------
    ValueError
        If labels are wrong, or there is only one class.

    Examples
    --------
    >>> x, y = torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([0, 0, 1, 1])
    >>> linear_probe(x, y, x).argmax(1)
    tensor([0, 0, 1, 1])
    """
    labels = _check_labels(labels_N, len(train_ND))
    if len(labels.unique()) < 2:
        raise ValueError(f"labels: expected at least two classes, got only class {int(labels[0])}")
    train, test = _standardised(train_ND, test_MD)
    with torch.enable_grad():  # evaluation runs without
        weight = torch.zeros(int(labels.max()) + 1, train.shape[1], dtype=train.dtype, requires_grad=True)
        bias = torch.zeros(len(weight), dtype=train.dtype, requires_grad=True)
        solver = torch.optim.LBFGS(
            [weight, bias], max_iter=500, tolerance_grad=1e-7, history_size=20, line_search_fn="strong_wolfe"
        )

        def closure() -> float:
            solver.zero_grad()
            loss = F.cross_entropy(train @ weight.T + bias, labels) + (weight**2).sum() / (2 * c * len(train))
            loss.backward()
            return float(loss.detach())

        solver.step(closure)
    return (test @ weight.detach().T + bias.detach()).to(test_MD.dtype)


def _standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Mean 0 and deviation 1 on the training samples; in double precision on the CPU, the same everywhere."""
    train, test = train.detach().cpu().double(), test.detach().cpu().double()
    deviation, mean = torch.std_mean(train, dim=0, correction=0)
    deviation = torch.where(deviation > 1e-12, deviation, 1.0)  # a channel that never changes says nothing
    return (train - mean) / deviation, (test - mean) / deviation


def collapse_indicators(x_ND: Tensor) -> dict[str, float]:
    """Tell whether embeddings are all alike, or lie in few dimensions.

    Parameters
    ----------
    x_ND : torch.Tensor
        Embeddings of different samples, of any length; shape (N, D), N at least 2.

    Returns
    -------
    dict of str to float
        ``std``: deviation of a channel of the embeddings brought to length one, times sqrt(D), mean over channels; 1
        if they fill the space evenly, 0 if all are the same. ``effective_rank``: exponential of the entropy of the
        singular values, from 1 to min(N, D). ``cosine``: mean over all pairs, 1 if all are the same.

    Raises
    ------
    ValueError
        If there are fewer than two samples.

    Examples
    --------
    >>> collapse_indicators(torch.ones(8, 4))
    {'std': 0.0, 'effective_rank': 1.0, 'cosine': 1.0}
    """
    if x_ND.ndim != 2 or len(x_ND) < 2:
        raise ValueError(f"embeddings: expected at least two of shape (N, D), got {tuple(x_ND.shape)}")
    x = F.normalize(x_ND.detach().cpu().double(), dim=1)
    if not bool(x.isfinite().all()):
        return dict.fromkeys(("std", "effective_rank", "cosine"), math.nan)
    n, d = x.shape
    singular = torch.linalg.svdvals(x)
    share = singular / singular.sum()
    rank = torch.exp(-torch.xlogy(share, share).sum())
    total = x.sum(0)
    values = {
        "std": x.std(dim=0, correction=0).mean() * math.sqrt(d),
        "effective_rank": rank,
        "cosine": ((total @ total) - x.square().sum()) / (n * (n - 1)),
    }
    return {name: round(float(value), 12) + 0.0 for name, value in values.items()}
