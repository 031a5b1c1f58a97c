# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as Markdown. A page is a title, words that a person wrote, a mark, and below it what the program wrote.

The words say what was asked, what was found and where its limits are. Writing a page again keeps them: edit them in the page
itself. No line is longer than ``LINE`` columns; a wider table is split, and each part repeats the first column.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

LINE = 130  # columns of a table
TEXT = 128  # columns of a paragraph
LICENCE = "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->"
MARK = "<!-- The program writes what follows. The words above are kept when the page is made again. -->"
QUICK = "**A quick trial: the figures say nothing.**"


def page(title: str, figures: str, words: str = "") -> str:
    """A whole page. figures: Markdown that the program made; words: Markdown that goes above it, empty for none."""
    above = f"{words.strip()}\n\n{MARK}\n\n" if words.strip() else ""
    return f"{LICENCE}\n# {title}\n\n{above}{figures.strip()}\n"


def kept_words(path: Path | None) -> str:
    """The words of the page that is there; empty when there is no page, or when it has no mark."""
    if path is None or not path.is_file():
        return ""
    above, mark, _ = path.read_text().partition(MARK)
    return above.partition("\n# ")[2].partition("\n")[2].strip() if mark else ""


def paragraph(text: str) -> str:
    """The text in lines of ``TEXT`` columns."""
    return textwrap.fill(text, TEXT, break_long_words=False, break_on_hyphens=False)


def bullet(text: str) -> str:
    """The text as an item of a list, in lines of ``TEXT`` columns."""
    return textwrap.fill(text, TEXT, initial_indent="* ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def command_block(*commands: str) -> str:
    """The commands that make a page again; one that is long goes on in the next line, as a shell reads it."""
    lines = "\n".join(" \\\n".join(textwrap.wrap(command, TEXT - 2, subsequent_indent="    ", break_long_words=False,
                                                 break_on_hyphens=False))
                      for command in commands)
    return f"Made by\n\n```\n{lines}\n```\n"


def with_origin(figures: str, result: dict, command: str = "", picture: str = "", title: str = "") -> str:
    """The figures with what all pages have around them: a warning before a quick trial, then picture, command and origin."""
    return "\n".join([*([QUICK + "\n"] if result.get("quick") else []), figures.strip() + "\n",
                      *([f"![{title}]({picture})\n"] if picture else []), *([command_block(command)] if command else []),
                      measured_at(result)])


def measured_at(result: dict) -> str:
    """Where a figure is from: commit, weights and seed of the result, as a sentence."""
    weights = f", weights {result['weights_sha256'][:12]}" if "weights_sha256" in result else ""
    seed = f", seed {result['seed']}" if "seed" in result else ""
    return f"Measured at {result['commit'][:12] or 'an unknown commit'}{weights}{seed}."


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, all columns but the first set to the right; several tables, one after the other, if it is too wide."""
    lines = [[str(cell) for cell in line] for line in (header, *rows)]
    parts: list[list[int]] = []
    for column in range(1, len(header)):
        if not parts or _width(lines, [*parts[-1], column]) > LINE:
            parts.append([0])
        parts[-1].append(column)
    return "\n".join(_one_table([[line[column] for column in part] for line in lines]) for part in parts or [[0]])


def _width(lines: list[list[str]], columns: list[int]) -> int:
    return max(sum(len(line[column]) + 3 for column in columns) + 1 for line in lines)


def _one_table(lines: list[list[str]]) -> str:
    header, *rows = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---", *["---:"] * (len(header) - 1)], *rows)) + "\n"


def with_interval(value: dict, sign: bool = False) -> str:
    """{mean, low, high} in per cent, the interval in brackets."""
    form = "{:+.1f}" if sign else "{:.1f}"
    mean, low, high = (form.format(100 * value[key]) for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
