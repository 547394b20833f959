"""What a section of the report is made of, and the page that holds them all."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eigenflow.plot import COLOURS as COLOURS

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555a61",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.dpi": 110,
    "font.size": 10,
    "grid.color": "#e3e5e8",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Table:
    """A table of text cells with a caption."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure with the name of its file and the sentence under it."""

    name: str
    figure: Any
    caption: str


@dataclass(frozen=True)
class Section:
    """What one system answers on one data set.

    `summary` rows (what, result) make the table on the terminal and at the top of the page.
    """

    title: str
    question: str
    text: Sequence[str]
    summary: Sequence[tuple[str, str]]
    tables: Sequence[Table] = field(default=())
    pictures: Sequence[Picture] = field(default=())


def subplots(n_cols: int = 1, *, width: float = 8.0, height: float = 3.4, n_rows: int = 1) -> Any:
    """Return (figure, axes) in the report's style, without a display and without pyplot's state."""
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.figure import Figure

    style = {**_STYLE, "axes.prop_cycle": cycler(color=list(COLOURS.values()))}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(n_rows, n_cols)


def write_page(sections: Sequence[Section], folder: Path) -> Path:
    """Write the figures and `index.html`, which holds them inside and needs no network."""
    folder.mkdir(parents=True, exist_ok=True)
    body = "\n".join([_summary_html(sections), *(_section_html(s, folder) for s in sections)])
    page = folder / "index.html"
    page.write_text(_PAGE.replace("{body}", body), encoding="utf-8")
    return page


def _summary_html(sections: Sequence[Section]) -> str:
    rows = [(section.title, *row) for section in sections for row in section.summary]
    return _table_html(Table(("system", "what", "result"), rows, "The four answers in short."))


def _section_html(section: Section, folder: Path) -> str:
    parts = [f"<h2>{html.escape(section.title)}: {html.escape(section.question)}</h2>"]
    parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in section.text]
    parts += [_table_html(table) for table in section.tables]
    parts += [_picture_html(picture, folder) for picture in section.pictures]
    return "\n".join(parts)


def _table_html(table: Table) -> str:
    head = "".join(f"<th>{html.escape(c)}</th>" for c in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    caption = f"<caption>{html.escape(table.caption)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _picture_html(picture: Picture, folder: Path) -> str:
    buffer = io.BytesIO()
    picture.figure.savefig(buffer, format="png", dpi=160)
    (folder / f"{picture.name}.png").write_bytes(buffer.getvalue())
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    caption = html.escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>eigenflow: how much capacity, and where?</title>
<style>
body { font: 16px/1.55 system-ui, sans-serif; color: #1f2328; max-width: 54rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.8rem; } h2 { font-size: 1.3rem; margin-top: 3rem; }
table { border-collapse: collapse; margin: 1.2rem 0; font-size: 0.92rem; }
caption { text-align: left; color: #57606a; padding-bottom: 0.4rem; }
th, td { text-align: left; padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid #d8dee4;
         font-variant-numeric: tabular-nums; vertical-align: top; }
figure { margin: 1.5rem 0; } img { max-width: 100%; }
figcaption { color: #57606a; font-size: 0.92rem; }
</style>
</head>
<body>
<h1>How much capacity does a model need, and where?</h1>
<p>Four systems answer with four numbers: an eigenvalue, a rank, a frequency, a state dimension.
Every number below was computed by <code>python -m eigenflow demo</code> on pictures and digits that
ship with scikit-learn, and on the flow of the Nile.</p>
{body}
</body>
</html>
"""
