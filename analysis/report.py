"""One self-contained HTML page: what was done, how good it is, and pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure, SubFigure

from behavior_prism.files import atomic_write, refuse_existing

_STYLE = """
body{font:15px/1.5 system-ui,"Segoe UI",Helvetica,Arial,sans-serif;color:#222}
body{max-width:1080px;margin:2em auto;padding:0 1em}
h1{font-size:1.6em;margin:0 0 .2em}h2{font-size:1.2em;margin:1.8em 0 .5em;border-bottom:1px solid #ddd}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.6em 0}
th,td{padding:.25em .8em;text-align:right;border-bottom:1px solid #eee}th:first-child,td:first-child{text-align:left}
tr:last-child.mean td{font-weight:600;border-top:2px solid #bbb}
.note{background:#fff7e0;border-left:4px solid #e69f00;padding:.5em .9em;margin:.7em 0}
.small{color:#666;font-size:.9em}img{max-width:100%;height:auto}
"""


@dataclass(kw_only=True)
class Section:
    """A part of the report.

    Parameters
    ----------
    title : str
        Heading.
    text : str
        A sentence or two below it.
    table : pandas.DataFrame, optional
        Shown with its index.
    figures : list of matplotlib.figure.Figure
        Shown below one another.
    mean_last : bool
        Whether the table's last row is a mean, to be set apart.
    """

    title: str
    text: str = ""
    table: pd.DataFrame | None = None
    figures: Sequence[Figure | SubFigure] = field(default_factory=list)
    mean_last: bool = False


def write_report(
    path: str | Path,
    title: str,
    sections: Sequence[Section],
    *,
    summary: str = "",
    notices: Sequence[str] = (),
    footer: str = "",
    overwrite: bool = False,
) -> Path:
    """Write the report.

    Parameters
    ----------
    path : str or pathlib.Path
        The ``.html`` file to make, through a temporary name. It holds its pictures itself and needs no network.
    title : str
        Heading of the page.
    sections : sequence of Section
        In order.
    summary : str
        One line below the heading.
    notices : sequence of str
        Things the reader must know, set apart at the top.
    footer : str
        Small print: versions, settings.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is not set.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>',
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(summary)}</p>" if summary else "",
        *(f'<p class="note">{html.escape(notice)}</p>' for notice in dict.fromkeys(notices)),
    ]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        if section.text:
            parts.append(f"<p>{html.escape(section.text)}</p>")
        if section.table is not None:
            parts.append(_table(section.table, section.mean_last))
        parts += [_image(figure, section.title) for figure in section.figures]
    parts.append(f'<p class="small">{html.escape(footer)}</p></html>')
    with atomic_write(path, overwrite=overwrite) as fresh:
        fresh.write_text("\n".join(parts), encoding="utf-8")
    return path


def _table(table: pd.DataFrame, mean_last: bool) -> str:
    head = "".join(f"<th>{html.escape(str(c).replace('_', ' '))}</th>" for c in ["", *table.columns])
    rows = []
    for k, (name, values) in enumerate(zip(table.index, table.to_dict("records"), strict=True)):
        css = ' class="mean"' if mean_last and k == len(table) - 1 else ""
        cells = "".join(f"<td>{html.escape(format_number(v))}</td>" for v in values.values())
        rows.append(f"<tr{css}><td>{html.escape(str(name).replace('_', ' '))}</td>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def format_number(value: object) -> str:
    """A table cell: three decimals, whole numbers as such, a dash for what has no value.

    Parameters
    ----------
    value : object
        A number or a text.

    Returns
    -------
    str

    Examples
    --------
    >>> format_number(0.12345), format_number(40.0), format_number(float("nan"))
    ('0.123', '40', '–')
    """
    if not isinstance(value, (float, np.floating)):
        return str(value)
    number = float(value)
    if np.isnan(number):
        return "–"
    return f"{number:.0f}" if number.is_integer() and abs(number) > 1 else f"{number:.3f}"


def _image(figure: Figure | SubFigure, alt: str) -> str:
    buffer = io.BytesIO()
    figure.figure.savefig(buffer, format="png", dpi=130)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<p><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}"></p>'
