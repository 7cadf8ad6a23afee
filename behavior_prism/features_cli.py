"""``behavior-prism features``: list, verify, prune, export."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import Overwrite, list_failures, print_table, progress_bars, say

app = typer.Typer(no_args_is_help=True, help="Feature stores: list, verify, prune, export.")

Paths = Annotated[list[Path], typer.Argument(help="Feature stores, folders of them, or a study.")]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts, on stdout.")]


@app.command()
def ls(paths: Paths, as_json: AsJson = False) -> None:
    """Show which features there are, what made them and how large they are.

    Example: `behavior-prism features ls my_study`
    """
    import pandas as pd

    from .feature_stores import list_stores

    entries = list_stores(paths)
    if as_json:
        typer.echo(json.dumps([asdict(e) | {"path": str(e.path)} for e in entries], indent=1))
        return
    if not entries:
        say("no feature stores there")
        return
    columns = ("recording", "state", "encoder", "weights", "source", "grid", "window", "individuals", "frames")
    rows = {str(e.path): {**{c: getattr(e, c) for c in columns}, "MB": round(e.megabytes, 1)} for e in entries}
    print_table(pd.DataFrame.from_dict(rows, orient="index"), "Windows are length/step/stride in frames")
    say(f"{len(entries)} store{'s' * (len(entries) != 1)}, {sum(e.megabytes for e in entries) / 1e3:.2f} GB")


@app.command()
def verify(paths: Paths, as_json: AsJson = False) -> None:
    """Read whole stores and compare them with their checksums.

    Exit code 1 if one is damaged, unfinished or cannot be read; `extract` mends what is damaged if it is removed.

    Example: `behavior-prism features verify my_study`
    """
    from .analysis import damaged_shards
    from .analysis.feature_shards import damaged_coordinates
    from .feature_stores import PARTIAL, find_stores

    failed, good = [], []
    stores = find_stores(paths)
    with progress_bars("stores") as bar:
        shown = bar("verify")
        for number, store in enumerate(stores):
            try:
                damaged = damaged_shards(store)
                coordinates = damaged_coordinates(store)
            except (ValueError, OSError) as error:
                failed.append((str(store), " ".join(str(error).split())))
            else:
                if store.name.endswith(PARTIAL):
                    failed.append((str(store), "unfinished; extract again to go on"))
                elif coordinates:
                    failed.append((str(store), f"damaged: {', '.join(coordinates)}; remove it and extract again"))
                elif damaged:
                    where = ", ".join(f"{a}:{b}" for a, b in damaged)
                    failed.append((str(store), f"damaged: sampled frames {where}; remove it and extract again"))
                else:
                    good.append(str(store))
            shown(number + 1, len(stores))
    if as_json:
        typer.echo(json.dumps({"good": good, "failed": [{"path": p, "reason": r} for p, r in failed]}, indent=1))
    else:
        say(f"{len(good)} of {len(stores)} stores are whole and hold what was written")
    list_failures(failed, len(stores))


@app.command()
def prune(
    paths: Paths,
    keep_key: Annotated[
        list[str] | None, typer.Option(help="Key of settings in use; stores with others go. Repeat.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what extraction left behind: unfinished stores, and those of videos that a study no longer has.

    Example: `behavior-prism features prune my_study --yes`
    """
    from .feature_stores import find_leftovers, remove_leftovers

    found = find_leftovers(paths, keep_keys=keep_key)
    failed = remove_leftovers(found) if yes else []
    if as_json:
        typer.echo(json.dumps([asdict(one) | {"path": str(one.path)} for one in found], indent=1))
    else:
        for one in found:
            say(f"{'removed' if yes else 'would remove'} {one.path} ({one.reason}, {one.megabytes:.1f} MB)")
        if not found:
            say("nothing to remove")
        elif not yes:
            say(f"{sum(one.megabytes for one in found) / 1e3:.2f} GB; give --yes to remove them")
    list_failures(failed, len(found))


@app.command()
def export(
    store: Annotated[Path, typer.Argument(help="A feature store.")],
    out: Annotated[Path, typer.Argument(help="File to make, .nc.")],
    overwrite: Overwrite = False,
) -> None:
    """Write features as one netCDF file, which every tool of science reads.

    Example: `behavior-prism features export mouse.features.zarr mouse.nc`
    """
    from .analysis import export_netcdf

    say(str(export_netcdf(store, out, overwrite=overwrite)))
