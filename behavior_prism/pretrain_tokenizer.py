"""The tokenizer of a run with texts."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .datasets.simulate import simulate_captions
from .encoder.tokenizer import Tokenizer, canonicalize, find_tokenizer
from .files import atomic_write
from .pretrain_sources import SIMULATOR

if TYPE_CHECKING:
    from .encoder.pretraining.parallel import Layout
    from .encoder.pretraining.recipes import Recipe
    from .pretrain_options import PretrainOptions

TOKENIZER = "tokenizer.model"
_SIMULATED_SENTENCES = 20_000  # what a tokenizer is trained on where none is given


def tokenizer_of(
    recipe: Recipe, options: PretrainOptions, start: dict[str, Any], folder: Path, layout: Layout
) -> Tokenizer | None:
    """Find the tokenizer of a run: the one that is given, one beside weights, or one made for the simulator.

    Parameters
    ----------
    recipe : Recipe
        Whose stage may have no texts.
    options : PretrainOptions
        Weights and corpora.
    start : dict of str to model
        As :func:`~behavior_prism.pretrain_models.starting_weights` gives it.
    folder : pathlib.Path
        Of the run; where one is made, it is written here.
    layout : Layout
        The first process makes it, the others wait.

    Returns
    -------
    Tokenizer or None
        None where there are no texts.

    Raises
    ------
    ValueError
        If there is none and corpora are not the simulator alone.
    """
    if recipe.stage not in ("contrastive", "text"):
        return None
    size = start["stage_1"].config.vocabulary_size if "stage_1" in start else recipe.sizes().config.vocabulary_size  # type: ignore[attr-defined]
    beside = [find_tokenizer(path) for path in (options.stage_1, options.init) if path is not None]
    path = options.tokenizer or next((p for p in beside if p is not None), None)
    if path is None:
        if recipe.stage == "text" or any(c.place.partition(":")[0] != SIMULATOR for c in options.corpora):
            raise ValueError(
                "tokenizer: expected a SentencePiece model (--tokenizer), got none, nor one beside weights"
            )
        path = folder / TOKENIZER
        if layout.rank == 0 and not path.is_file():
            _train_tokenizer(path, size)
        layout.barrier()
    return Tokenizer(path, size)


def _train_tokenizer(path: Path, size: int) -> None:
    """A SentencePiece model for the simulator's sentences, the same ones every time."""
    from sentencepiece import SentencePieceTrainer

    model = BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=(canonicalize(text) for text in simulate_captions(_SIMULATED_SENTENCES // 2)),
        model_writer=model,
        vocab_size=min(size, 2000),
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    with atomic_write(path) as fresh:
        fresh.write_bytes(model.getvalue())
