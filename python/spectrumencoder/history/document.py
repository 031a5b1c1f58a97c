# SPDX-License-Identifier: GPL-3.0-or-later
"""A document of headings, text, lists, tables and pictures, as Markdown or as one HTML page without scripts."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Text:
    """A paragraph."""

    text: str


@dataclass
class Items:
    """A list of lines."""

    lines: Sequence[str]


@dataclass
class Table:
    """A table. numeric: numbers of the columns that are aligned to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()


@dataclass
class Picture:
    """A PNG picture. name: of its file, without suffix."""

    name: str
    png: bytes
    caption: str


@dataclass
class Section:
    """Parts under a heading."""

    heading: str
    parts: list[Text | Items | Table | Picture] = field(default_factory=list)


@dataclass
class Document:
    """A title, a line below it, sections, and a last line."""

    title: str
    subtitle: str
    sections: list[Section]
    foot: str

    def pictures(self) -> list[Picture]:
        return [part for section in self.sections for part in section.parts if isinstance(part, Picture)]


def to_markdown(document: Document, place: Callable[[Picture], str | None] = lambda picture: None) -> str:
    """As Markdown. place: says the path of a picture; None leaves it out."""
    lines = [f"# {_marked(document.title)}", "", _marked(document.subtitle), ""]
    for section in document.sections:
        lines += [f"## {_marked(section.heading)}", ""]
        for part in section.parts:
            if isinstance(part, Text):
                lines += [_marked(part.text), ""]
            elif isinstance(part, Items):
                lines += [*(f"- {_marked(line)}" for line in part.lines), ""]
            elif isinstance(part, Picture):
                path = place(part)
                lines += [f"![{_marked(part.caption)}]({path})", "", f"*{_marked(part.caption)}*", ""] if path else []
            else:
                rule = ["---:" if n in part.numeric else "---" for n in range(len(part.head))]
                rows = [[_marked(cell) for cell in row] for row in (part.head, *part.rows)]
                lines += [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])] + [""]
    return "\n".join([*lines, _marked(document.foot), ""])


def to_html(document: Document) -> str:
    """As one HTML page, pictures within it."""
    body = [f"<header><h1>{_escaped(document.title)}</h1><p>{_escaped(document.subtitle)}</p></header>"]
    for section in document.sections:
        body.append(f"<section><h2>{_escaped(section.heading)}</h2>")
        body += [_html_of(part) for part in section.parts]
        body.append("</section>")
    body.append(f"<footer>{_escaped(document.foot)}</footer>")
    return _PAGE.format(title=_escaped(document.title), style=_STYLE, body="\n".join(body))


def _html_of(part: Text | Items | Table | Picture) -> str:
    if isinstance(part, Text):
        return f"<p>{_escaped(part.text)}</p>"
    if isinstance(part, Items):
        return "<ul>" + "".join(f"<li>{_escaped(line)}</li>" for line in part.lines) + "</ul>"
    if isinstance(part, Picture):
        content = base64.b64encode(part.png).decode()
        return (f'<figure><img alt="{_escaped(part.caption)}" src="data:image/png;base64,{content}">'
                f"<figcaption>{_escaped(part.caption)}</figcaption></figure>")
    return ('<div class="table"><table><thead>' + _row("th", part.head, part.numeric) + "</thead><tbody>"
            + "".join(_row("td", row, part.numeric) for row in part.rows) + "</tbody></table></div>")


def _row(tag: str, cells: Sequence[str], numeric: Sequence[int]) -> str:
    made = (f'<{tag}{" class=number" if n in numeric else ""}>{_escaped(cell)}</{tag}>' for n, cell in enumerate(cells))
    return f"<tr>{''.join(made)}</tr>"


def _escaped(text: str) -> str:
    return html.escape(_one_line(text), quote=True)


def _marked(text: str) -> str:
    """Text in which nothing is taken for markup of Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in _one_line(text))


def _one_line(text: str) -> str:
    """Names come from the air and from operators: control characters are blanks."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body></html>
"""
_STYLE = """
:root { --ink: #22262d; --soft: #5d6672; --line: #dfe3e8; --back: #ffffff; --card: #f6f7f9; --accent: #1f5f8b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #a2abb8; --line: #343b45; --back: #15181d; --card: #1d2228; --accent: #86bbdf; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1.25rem 3rem; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header { border-bottom: 3px solid var(--accent); margin-bottom: 1rem; }
h1 { font-size: 1.7rem; margin: 0; line-height: 1.2; }
header p, footer, figcaption { color: var(--soft); }
header p { margin: .35rem 0 .8rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; color: var(--accent); }
p, ul { max-width: 55rem; }
ul { padding-left: 1.2rem; } li { margin: .25rem 0; }
figure { margin: 1rem 0; } figure img { width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; padding: 6px; }
figcaption { font-size: .88rem; margin-top: .3rem; }
.table { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; min-width: 60%; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: .32rem .75rem .32rem 0; vertical-align: top; white-space: nowrap; }
td { border-bottom: 1px solid var(--line); }
td:last-child, th:last-child { white-space: normal; min-width: 11rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
footer { border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: .7rem; font-size: .85rem; }
@media print { body { max-width: none; padding: 0; font-size: 12px; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } }
"""
