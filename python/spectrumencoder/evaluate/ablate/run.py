# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an ablation from its configuration and writes its page, picture and numbers: NAME.md, NAME.png, NAME.json.

A configuration names its ``experiment``: a module of this folder with ``run``, ``report`` and ``draw``. Its table ``quick`` holds
the smaller settings of a trial run. Rows that were measured already are not measured again.
"""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

from ...atomic_file import write_file
from ...measure.page import QUICK, command_block, kept_words, page
from ...measure.provenance import commit
from ...measure.rows import Context
from ...training.config import ConfigError, with_fold

EXPERIMENTS = ("adaptive", "arms", "backends", "classical", "detection", "dropout", "motion")


def ablate(config_path: Path, corpus: list[Path], out: Path, *, work: Path, pool: Path | None = None, model: str = "",
           quick: bool = False, command: str = "", progress: Callable[[int, int, str], None] | None = None) -> dict:
    """Measures one ablation and writes its page, picture and numbers.

    Args:
        config_path: TOML, see `recipes/ablate/*.toml`.
        corpus: labelled recordings.
        out: folder of the results, made when missing. The words of a page that is there are kept.
        work: folder of rows and trained networks; a second run goes on there.
        pool: training frames to share.
        model: judged in place of the configuration's (dropout, detection, motion, backends).
        quick: the small trial. command: noted in the results.

    Returns:
        The content of NAME.json.

    Raises:
        AblationError, ConfigError, CorpusError, ModelError: one line that says what is wrong.
    """
    config = read_configuration(config_path, quick)
    module = importlib.import_module(f".{config['experiment']}", __package__)
    work.mkdir(parents=True, exist_ok=True)
    context = Context(work, corpus, pool, model or config.get("model", ""), progress or (lambda done, total, name: None))
    found = module.run(config, context)
    result = {"experiment": config["experiment"], "title": config["title"], "command": command, "quick": quick,
              "commit": commit(), "measured_at_commits": sorted(context.commits), **found, "configuration": config}
    out.mkdir(parents=True, exist_ok=True)
    name = config_path.stem
    module.draw(result, out / f"{name}.png")
    write_file(out / f"{name}.md", whole_page(result, out / f"{name}.md").encode())
    write_file(out / f"{name}.json", (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    return result


def whole_page(result: dict, path: Path) -> str:
    """The page of a result: the words of the page that is at `path`, tables, picture, the command that makes it again."""
    figures = importlib.import_module(f".{result['experiment']}", __package__).report(result)
    commits = ", ".join(c[:12] for c in result["measured_at_commits"])
    parts = [QUICK + "\n"] if result["quick"] else []
    parts += [figures.strip() + "\n", f"![{result['title']}]({path.stem}.png)\n", command_block(result["command"]),
              f"Measured at {commits}, written at {result['commit'][:12]}."]
    return page(result["title"], "\n".join(parts), kept_words(path))


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
                          "those in recipes/ablate/") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error
