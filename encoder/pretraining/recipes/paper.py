"""The paper's two models, B and g, in both stages, and text tuning behind them.

Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217), text and tables; its corpora are not public. What it states is
taken, what it does not state is named with what stands here instead. Costs are arithmetic (multiplications and
additions of the towers, three times the forward pass where gradients are wanted) at 300 TFLOP/s, which a well-fed H100
reaches in bfloat16: none of this has been run.

Not stated, and chosen alike in all of them: AdamW-like form of Adafactor (see :mod:`..optim`), gradient clipping at 1,
no augmentation, corpora take turns in proportion to the weights that are given with them (the paper says that they
alternate, not how often).
"""

from __future__ import annotations

from ..trainer_config import KeepRule, OptimizerConfig, ScheduleConfig, TrainerConfig
from .recipe import DataNeeds, Recipe

PAIRS = (
    "stock footage with the uploader's texts, 36.1M clips (not public)",
    "WTS-70M, 55.1M clips with metadata",
    "YT-Temporal-180M, 87.8M clips with transcribed speech",
    "VideoCC, 191.1M clips with captions of similar images",
    "InternVid, 7.0M clips with generated captions",
    "two more sets from YouTube, 170.3M and 71.5M clips (not public)",
)
IMAGES = "WebLI, about 1B images with their alt texts, as clips of one frame"
FRAMES, SIZE, BATCH = 8, (288, 288), 4096


def _trainer(steps: int, weight_decay: float, schedule: ScheduleConfig) -> TrainerConfig:
    return TrainerConfig(
        steps=steps,
        precision="bfloat16",
        compile=True,
        activation_checkpointing=True,
        eval_every=5000,
        checkpoint_every=2000,
        log_every=50,
        picture_every=5000,
        keep=KeepRule(last=3, every=50_000),
        optimizer=OptimizerConfig(name="adafactor", weight_decay=weight_decay),
        schedule=schedule,
    )


def _contrastive(size: str, peak: float, about: str) -> Recipe:
    return Recipe(
        name=f"{size}_contrastive",
        stage="contrastive",
        model=f"lvt-{size}",
        # the pooler stands right behind the encoder; layers in between are not in the paper
        model_changes={"num_auxiliary_layers": 0, "pos_emb_shape": (FRAMES, 16, 16)},
        trainer=_trainer(200_000, 1e-4, ScheduleConfig(shape="linear", peak=peak, warmup=20_000)),
        objective={},
        data=DataNeeds(frames=FRAMES, image_size=SIZE, batch=BATCH, corpora=(*PAIRS, IMAGES), keep_places=0.5),
        about=about,
    )


def _masked(size: str, about: str) -> Recipe:
    return Recipe(
        name=f"{size}_masked",
        stage="masked",
        model=size,
        model_changes={"pos_emb_shape": (FRAMES, 16, 16)},
        trainer=_trainer(300_000, 0.05, ScheduleConfig(shape="cosine", peak=5e-4, warmup=25_000, floor=1e-5)),
        objective={"decoder": {"dim": 512, "num_layers": 4, "num_heads": 8, "mlp_dim": 2048}},
        data=DataNeeds(
            frames=FRAMES, image_size=SIZE, batch=BATCH, corpora=PAIRS, mask={"kind": "block", "ratio": 0.65}
        ),
        about=about,
    )


def _text(size: str, peak: float, about: str) -> Recipe:
    return Recipe(
        name=f"{size}_text",
        stage="text",
        model=f"lvt-{size}",
        model_changes={"pos_emb_shape": (FRAMES, 16, 16)},
        trainer=_trainer(200_000, 1e-4, ScheduleConfig(shape="linear", peak=peak, warmup=20_000)),
        objective={},
        data=DataNeeds(frames=FRAMES, image_size=SIZE, batch=BATCH, corpora=(*PAIRS, IMAGES)),
        about=about,
    )


def base_contrastive() -> Recipe:
    """Stage 1 of the paper's B model.

    Stated: batch 4096, 200,000 steps, warm-up 20,000, linear decay, Adafactor with weight decay 1e-4, half of the
    tokens dropped by tubes, 8 frames of 288 x 288 pixels, images as clips of one frame, corpora that alternate by
    batch, spatial tower and text tower from CoCa.

    Contradictory: the learning rate. The text says 1e-4 for B (and 5e-5 for g), a table "base learning rate 5e-4".
    The text is taken, since it speaks of the model. Frames: the paper says 8, the released B model has 16 positions.

    Not stated: temperature (learned from 0.07, as CLIP), start of the temporal tower (random).

    Cost: 8.2e8 clips of 0.8 TFLOP, about 600 H100-hours.

    ``torchrun --nproc-per-node 8 -m behavior_prism pretrain contrastive --recipe base_contrastive --corpus SHARDS
    --tokenizer TOKENIZER --init IMAGE_WEIGHTS --image-mean MEAN --image-std STD --out run``

    Returns
    -------
    Recipe
    """
    return _contrastive("base", 1e-4, base_contrastive.__doc__ or "")


def base_masked() -> Recipe:
    """Stage 2 of the paper's B model.

    Stated: batch 4096, 300,000 steps, Adafactor with weight decay 0.05, learning rate from 0 to 5e-4 in 25,000 steps,
    then a cosine to 1e-5, BEVT masks of ratio 0.65, frozen teacher and start of the student from stage 1, token and
    clip losses of equal weight, videos of stage 1 without texts and without images.

    Not stated: sizes of B's decoders (those of g stand here: 512 channels, 4 layers, 2048), heads (8), whether 0.65 is
    the share of a frame's places or of all tokens (the former, as in BEVT: 33 to 49 % of all), one shuffle for the
    batch or one per clip (per clip), order of the targets (canonical).

    Cost: 1.2e9 clips of 1.7 TFLOP, about 2,000 H100-hours.

    ``torchrun --nproc-per-node 8 -m behavior_prism pretrain masked --recipe base_masked --corpus SHARDS
    --teacher STAGE_1_WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return _masked("base", base_masked.__doc__ or "")


def base_text() -> Recipe:
    """Text tuning of the paper's B model (LvT).

    Stated: video encoder of stage 2, frozen; text tower and pooler start from stage 1; data and settings of stage 1;
    the last epoch uses one of the sets that are not public alone (left out here).

    Not stated: the two layers between encoder and pooler that the released model has (they start as the identity),
    whether tokens are dropped (they are not: the tower is frozen).

    Cost: 8.2e8 clips of 1.2 TFLOP (the two layers over all tokens of a clip among them), about 900 H100-hours.

    ``torchrun --nproc-per-node 8 -m behavior_prism pretrain text --recipe base_text --corpus SHARDS
    --stage-1 STAGE_1_WEIGHTS --encoder STAGE_2_WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return _text("base", 1e-4, base_text.__doc__ or "")


def giant_contrastive() -> Recipe:
    """Stage 1 of the paper's g model.

    As :func:`base_contrastive`, with a learning rate of 5e-5 (text; the table's 5e-4 contradicts it).

    Cost: 8.2e8 clips of 7 TFLOP, about 5,500 H100-hours. Parameters, gradients and optimizer need some 20 GB, split
    over the processes.

    ``torchrun --nproc-per-node 8 -m behavior_prism pretrain contrastive --recipe giant_contrastive --corpus SHARDS
    --tokenizer TOKENIZER --init IMAGE_WEIGHTS --image-mean MEAN --image-std STD --out run``

    Returns
    -------
    Recipe
    """
    return _contrastive("giant", 5e-5, giant_contrastive.__doc__ or "")


def giant_masked() -> Recipe:
    """Stage 2 of the paper's g model.

    As :func:`base_masked`; the decoders' sizes are stated for this model (512 channels, 4 layers, 2048; heads are not).

    Cost: 1.2e9 clips of 13 TFLOP, about 15,500 H100-hours.

    ``torchrun --nproc-per-node 8 -m behavior_prism pretrain masked --recipe giant_masked --corpus SHARDS
    --teacher STAGE_1_WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return _masked("giant", giant_masked.__doc__ or "")


def giant_text() -> Recipe:
    """Text tuning of the paper's g model (LvT).

    As :func:`base_text`, with a learning rate of 5e-5 (text; the table's 5e-4 contradicts it) and the giant model's
    text tower of 16 layers.

    Cost: 8.2e8 clips of 6 TFLOP, about 4,900 H100-hours.

    ``torchrun --nproc-per-node 8 -m behavior_prism pretrain text --recipe giant_text --corpus SHARDS
    --stage-1 STAGE_1_WEIGHTS --encoder STAGE_2_WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return _text("giant", 5e-5, giant_text.__doc__ or "")
