"""``behavior-prism weights``: list, fetch, convert, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Overwrite, print_table, progress_bars, say

app = typer.Typer(no_args_is_help=True, help="Weights of encoders: list, fetch, convert, verify.")

Name = Annotated[str, typer.Argument(help="A name (base, lvt-large, ...) or OWNER/REPO[@REVISION][:FILE] of the Hub.")]


@app.command("list")
def list_() -> None:
    """Show the named encoders, which weights were released, and which are here.

    Example: `behavior-prism weights list`
    """
    from .encoder import weights_dir
    from .weights import list_weights

    print_table(list_weights().set_index("name"), f"Weights, kept in {weights_dir()}")


@app.command()
def fetch(name: Name) -> None:
    """Get released weights from the Hub, with their tokenizer, unless they are here.

    Example: `behavior-prism weights fetch videoprism-base`
    """
    from .encoder import PRESETS, RELEASES, fetch_weights, find_release

    release = find_release(name)
    if release is None:
        known = name.removeprefix("videoprism-") in PRESETS
        what = "no weights were released for it" if known else "no such name"
        raise ValueError(f"{name}: {what}; expected one of {', '.join(RELEASES)}, or OWNER/REPO of the Hub")
    say(str(fetch_weights(release)))


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Official .npz, or .safetensors of transformers.")],
    out: Annotated[Path, typer.Argument(help="File to make, .safetensors.")],
    untrained: Annotated[bool, typer.Option("--untrained", help="Note that these weights were not learned.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn weights of another layout into a file that says its own sizes and opens at once.

    Example: `behavior-prism weights convert flax_base_f16r288_repeated.npz base.safetensors`
    """
    from .weights import convert_weights

    say(str(convert_weights(source, out, trained=False if untrained else None, overwrite=overwrite)))


@app.command()
def verify(
    weights: Annotated[str, typer.Argument(help="A name or a weights file.")],
    video: Annotated[Path | None, typer.Option(help="A recording, for --precision.")] = None,
    precision: Annotated[str, typer.Option(help="Compare with float32: some of bf16,fp16,int8.")] = "",
    clips: Annotated[int, typer.Option(help="Clips of the recording to compare on.", min=1)] = 4,
) -> None:
    """Check a weights file as a whole, and what lower precisions cost on your own frames.

    Example: `behavior-prism weights verify base --video mouse.mp4 --precision bf16,int8`
    """
    from .encoder import load_encoder
    from .weights import compare_precisions

    wanted = [p.strip() for p in precision.split(",") if p.strip()]
    if bool(wanted) != (video is not None):
        raise ValueError(
            "--precision and --video: expected both or neither; precisions are compared on your own frames"
        )
    loaded = load_encoder(weights, device="cpu")
    say(loaded.describe())
    if loaded.video_text is not None and video is not None:
        say("the tokens of its video encoder are compared, not the embeddings of clips and texts")
    if video is not None:
        with progress_bars("precisions") as bar:
            table = compare_precisions(weights, video, wanted, num_clips=clips, progress=bar("compared"))
        print_table(table.set_index("precision"), "Tokens against those of float32")
