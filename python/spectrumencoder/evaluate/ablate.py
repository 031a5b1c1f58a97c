# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an ablation from its configuration and leaves its table, figure and numbers: NAME.md, NAME.png, NAME.json.

A configuration names its ``experiment`` (one module ``ablate_*`` of this folder each, with ``run``, ``report`` and ``draw``); its
table ``quick`` holds what is smaller in a trial run. Rows that are measured already are not measured again.
"""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

from ..atomic_file import write_file
from ..training.config import ConfigError, with_fold
from ..training.run_folder import commit
from .rows import AblationError, Context

EXPERIMENTS = ("arms", "backends", "classical", "detection", "dropout", "motion")


def ablate(config_path: Path, corpus: list[Path], out: Path, *, work: Path, pool: Path | None = None, model: str = "",
           quick: bool = False, command: str = "", progress: Callable[[int, int, str], None] | None = None) -> dict:
    """Regenerates one table and figure.

    Args:
        config_path: TOML, see `benchmarks/ablate_*.toml`. corpus: labelled recordings. out: where the results go, made when
        missing. work: where rows and trained networks are kept; running again goes on there. pool: training frames to share.
        model: judged in place of the configuration's (dropout, detection, motion, backends). quick: the small trial. command:
        noted in the results.

    Returns:
        What NAME.json holds.

    Raises:
        AblationError, ConfigError, CorpusError, ModelError: one line that says what is wrong.
    """
    config = read_configuration(config_path, quick)
    module = importlib.import_module(f".ablate_{config['experiment']}", __package__)
    work.mkdir(parents=True, exist_ok=True)
    context = Context(work, corpus, pool, model or config.get("model", ""), progress or (lambda done, total, name: None))
    found = module.run(config, context)
    result = {"experiment": config["experiment"], "title": config["title"], "command": command, "quick": quick,
              "commit": commit(), "measured_at_commits": sorted(context.commits), **found, "configuration": config}
    out.mkdir(parents=True, exist_ok=True)
    name = config_path.stem
    module.draw(result, out / f"{name}.png")
    write_file(out / f"{name}.md", page(result, name, module.report(result)).encode())
    write_file(out / f"{name}.json", (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    return result


def read_configuration(path: Path, quick: bool) -> dict:
    """The TOML file; with `quick` its table of that name laid over it; with `fold` (FILE:NAME) that split held out.

    Raises:
        ConfigError: unreadable, or without a known experiment or a title.
    """
    config = _read_toml(path)
    small = config.pop("quick", {})
    if quick:
        config = _over(config, small)
    if config.get("experiment") not in EXPERIMENTS or not config.get("title"):
        raise ConfigError(f"{path}: experiment is {config.get('experiment')!r} and title {config.get('title')!r}; name one of "
                          f"{', '.join(EXPERIMENTS)} and give it a title")
    if fold := config.get("fold"):
        file, _, name = fold.rpartition(":")
        config["training"] = with_fold(config, _read_toml(path.parent / file), name)["training"]
    return config


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


def _over(config: dict, small: dict) -> dict:
    """`small` laid over `config`, table by table."""
    tables = {key: _over(config[key], value) for key, value in small.items()
              if isinstance(value, dict) and isinstance(config.get(key), dict)}
    return {**config, **small, **tables}


def _read_toml(path: Path) -> dict:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a configuration such as "
                          "those in benchmarks/") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error


__all__ = ["EXPERIMENTS", "AblationError", "ablate", "markdown_table", "page", "read_configuration", "with_interval"]
