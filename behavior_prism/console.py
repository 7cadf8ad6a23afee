"""What commands say and how: lines, tables, bars, and errors of one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

if TYPE_CHECKING:
    import pandas as pd

    from behavior_prism.workflow import BatchResult

# into a file or a pipe nothing is cut off
out_console = Console(width=None if sys.stdout.isatty() else 240)
err_console = Console(stderr=True)


class OneLineErrors(TyperGroup):
    """Turns bad input into one line and exit code 2; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command.

        Parameters
        ----------
        ctx : click.Context
            Of the whole command line.

        Returns
        -------
        Any
            What the command returns.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err_console.print("interrupted; the same command goes on where it stopped", style="yellow", markup=False)
            raise typer.Exit(130) from None
        except (ValueError, OSError, MissingExtra) as error:
            if ctx.params.get("traceback"):
                raise
            command = self.get_command(ctx, ctx.invoked_subcommand or "")
            takes_cut = command is not None and any(p.name == "allow_cut_short" for p in command.params)
            text = " ".join(str(error).split()) or type(error).__name__
            say_error(named_as_options(text) if takes_cut else text)
            raise typer.Exit(2) from None


class MissingExtra(Exception):
    """An optional part is not installed."""


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]


_OPTION_OF = {
    "allow_cut_short=True": "--allow-cut-short",
    "(max_undecodable)": "(--max-undecodable)",
    "(fps)": "(--fps)",
}


def named_as_options(text: str) -> str:
    """Put options in the place of the parameters that an error advises.

    Parameters
    ----------
    text : str
        An error that Python code was meant to read.

    Returns
    -------
    str
    """
    for argument, option in _OPTION_OF.items():
        text = text.replace(argument, option)
    return text


def say_error(text: str) -> None:
    """Write an error in red to stderr.

    Parameters
    ----------
    text : str
        One line.
    """
    err_console.print(f"error: {text}", style="bold red", markup=False, highlight=False, soft_wrap=True)


def say(text: str, style: str | None = None) -> None:
    """Write to stdout, as it is.

    Parameters
    ----------
    text : str
        Brackets are no markup.
    style : str, optional
        As rich names it.
    """
    out_console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def notice(text: str) -> None:
    """Write a note in yellow to stderr.

    Parameters
    ----------
    text : str
        What a user should know.
    """
    err_console.print(f"note: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bars(unit: str = "frames") -> Iterator[Any]:
    """Give a function that makes one bar per item: ``bar(name)(done, of)``.

    Parameters
    ----------
    unit : str
        What is counted.

    Yields
    ------
    callable
        From the name of an item to a function of (done, total).
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # names of recordings may hold brackets
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err_console) as bars:

        def bar(name: str) -> Any:
            task = bars.add_task(name, total=None)
            return lambda done, of: bars.update(task, completed=done, total=of)

        yield bar


def finish(result: BatchResult) -> None:
    """Say what a batch made and what failed; exit code 1 if anything did.

    Parameters
    ----------
    result : BatchResult
        Of the batch.
    """
    for note in result.notes:
        notice(note)
    for path in result.done:
        say(str(path))
    list_failures(result.failed, len(result.failed) + len(result.done))


def list_failures(failed: list[tuple[str, str]], of: int) -> None:
    """List what failed and leave with exit code 1; nothing if nothing failed.

    Parameters
    ----------
    failed : list of (str, str)
        Item and reason.
    of : int
        How many items there were.
    """
    if failed:
        err_console.print(f"{len(failed)} of {of} failed:", style="bold red")
        for item, reason in failed:
            say_error(reason if item in reason else f"{item}: {reason}")
        raise typer.Exit(1)


def print_table(table: pd.DataFrame, title: str = "") -> None:
    """Print a table of numbers.

    Parameters
    ----------
    table : pandas.DataFrame
        Shown with its index.
    title : str
        Written above.
    """
    from rich.table import Table
    from rich.text import Text

    from behavior_prism.analysis.report import format_number

    view = Table(title=Text(title), title_justify="left", header_style="bold")
    view.add_column("", no_wrap=True)
    for column in table.columns:
        short = str(column).replace("average_precision", "AP").replace("_", " ")
        view.add_column(Text(short), justify="right", no_wrap=True)
    for name, row in zip(table.index, table.to_dict("records"), strict=True):
        view.add_row(Text(str(name)), *(format_number(value) for value in row.values()))
    out_console.print(view)
