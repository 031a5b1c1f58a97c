# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as Markdown: pages, tables, figures with their interval."""

from __future__ import annotations


def page(result: dict, name: str, tables: str) -> str:
    """The result as a page: title, tables, figure, and the command that makes it again."""
    made = f"Measured at {', '.join(c[:12] for c in result['measured_at_commits'])}, written at {result['commit'][:12]}"
    quick = "\n**A quick trial: the figures say nothing.**\n" if result["quick"] else ""
    return (f"# {result['title']}\n{quick}\n{tables.strip()}\n\n![{result['title']}]({name}.png)\n\n"
            f"Made by\n\n```\n{result['command']}\n```\n\n{made}.\n")


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are set to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def with_interval(value: dict, sign: bool = False) -> str:
    """{mean, low, high} in per cent, the interval in brackets."""
    form = "{:+.1f}" if sign else "{:.1f}"
    mean, low, high = (form.format(100 * value[key]) for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
