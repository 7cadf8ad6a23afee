"""Sentences to token ids, as the official video-text models were trained.

Text is brought to one form first: punctuation becomes spaces, letters lower case, spaces single, and a full stop ends
it. SentencePiece then cuts it; the released models use the ``c4_en`` vocabulary of T5 with 32,000 pieces. No end
token, and a start token only if the vocabulary has one (T5's has none); 64 tokens at most; padding is id 0 with
``paddings`` 1.

Shapes: S texts, L tokens of a text.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

MAX_LENGTH = 64
# As downloads are named: ours first, then those of the Hub.
FILE_NAMES = ("tokenizer.model", "sentencepiece.model", "spiece.model")
_TO_SPACES = str.maketrans(string.punctuation, " " * len(string.punctuation))


def canonicalize(text: str) -> str:
    """Bring a text to the form the models know.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If nothing but spaces and punctuation is there.

    Examples
    --------
    >>> canonicalize("  A mouse,grooming itself!! ")
    'a mouse grooming itself.'
    """
    words = text.translate(_TO_SPACES).lower().split()
    if not words:
        raise ValueError(f"text: expected at least one word, got {text!r}")
    return " ".join(words) + "."


def fill_templates(names: Sequence[str], templates: Sequence[str] = ("a video of {}.",)) -> list[str]:
    """Put names of behaviours into sentences, as zero-shot classification does.

    Parameters
    ----------
    names : sequence of str
        What ``{}`` stands for.
    templates : sequence of str
        Each with one ``{}``. The default is that of the official demonstration.

    Returns
    -------
    list of str
        All templates for the first name, then for the second, and so on.

    Raises
    ------
    ValueError
        If a template does not hold ``{}`` exactly once.

    Examples
    --------
    >>> fill_templates(["grooming"], ["a video of a mouse {}.", "{}"])
    ['a video of a mouse grooming.', 'grooming']
    """
    if isinstance(names, str) or isinstance(templates, str):
        raise ValueError("names, templates: expected lists of texts, got one text")
    if not all(name.strip() for name in names):
        raise ValueError(f"names: expected at least one letter each, got {list(names)}")
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"template: expected '{{}}' exactly once, got {template!r}")
    return [template.replace("{}", name) for name in names for template in templates]


class Tokenizer:
    """A SentencePiece model with the official form of texts.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.model`` file of SentencePiece.
    vocabulary_size : int, optional
        What the model that reads the tokens knows; more pieces than that are refused.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it is of another kind, or its vocabulary does not fit.

    Examples
    --------
    >>> tokenizer = Tokenizer("tokenizer.model")  # doctest: +SKIP
    >>> ids, paddings = tokenizer(["a mouse runs"])  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, vocabulary_size: int | None = None) -> None:
        self.path = Path(path)
        self._pieces = _load_pieces(self.path)
        count = self._pieces.get_piece_size()
        if vocabulary_size is not None and count > vocabulary_size:
            raise ValueError(f"{path}: expected at most {vocabulary_size} pieces as the model has, got {count}")

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Cut texts into tokens.

        Parameters
        ----------
        texts : sequence of str
            Sentences; brought to the official form here.

        Returns
        -------
        token_ids : torch.Tensor
            int64, shape (S, 64).
        paddings : torch.Tensor
            float32, 1 where a token is padding, shape (S, 64).

        Raises
        ------
        ValueError
            If there is no text, one is empty, unknown to the tokenizer as a whole, or longer than 64 tokens.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts: expected a list of texts, got one text {texts!r}")
        if not texts:
            raise ValueError("texts: expected at least one text, got none")
        token_ids = torch.zeros(len(texts), MAX_LENGTH, dtype=torch.int64)
        paddings = torch.ones(len(texts), MAX_LENGTH)
        start = [self._pieces.bos_id()] if self._pieces.bos_id() >= 0 else []
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"texts: expected texts, got {text!r}")
            tokens = start + self._pieces.encode(canonicalize(text))
            if all(token == self._pieces.unk_id() or self._pieces.is_control(token) for token in tokens[:-1]):
                raise ValueError(f"text: expected words that the tokenizer knows, got {text[:60]!r}")
            if len(tokens) > MAX_LENGTH:
                raise ValueError(f"text: expected at most {MAX_LENGTH} tokens, got {len(tokens)} from {text[:60]!r}...")
            token_ids[row, : len(tokens)] = torch.tensor(tokens)
            paddings[row, : len(tokens)] = 0
        return token_ids, paddings


def find_tokenizer(weights: Path) -> Path | None:
    """Look for the tokenizer file beside a weights file.

    Parameters
    ----------
    weights : pathlib.Path
        The weights file.

    Returns
    -------
    pathlib.Path or None
    """
    return next((weights.with_name(name) for name in FILE_NAMES if weights.with_name(name).is_file()), None)


def _load_pieces(path: Path) -> SentencePieceProcessor:
    from sentencepiece import SentencePieceProcessor

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a SentencePiece model")
    try:
        return SentencePieceProcessor(model_proto=path.read_bytes())
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{path}: expected a SentencePiece model ({error})") from None
