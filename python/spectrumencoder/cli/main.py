# SPDX-License-Identifier: GPL-3.0-or-later
"""The program ``spectrumencoder``: one command per file of this folder.

Exit status 0: done, 1: failed, 2: bad usage. An error is one line on stderr that says what to do;
``SPECTRUMENCODER_DEBUG=1`` shows the traceback instead. Heavy imports (NumPy, GNU Radio, PyTorch, matplotlib) wait until a
command runs, so that ``--help`` answers at once; a command does not import the others.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from ..extras import how_to_get
from ..session.errors import HungError, SettingError
from ..session.quiet_logs import quiet_logs
from ..stop_signals import STOP
from ..version import VERSION
from .console import leave
from .errors import CommandError
from .listeners.web import completed

COMMANDS = ("run", "view", "survey", "band", "report", "info", "convert", "devices", "decode", "calibrate", "train", "evaluate",
            "bench", "dataset", "models", "hub", "push", "doctor")
_INTERRUPTED = "interrupted before it was done; what was written up to there is kept"
_OPTIONAL_VALUE = ("--annotate", "--reconnect")  # options that may stand alone; typer has none
_STATUS_OF_TYPER = 130  # for a KeyboardInterrupt


def program(arguments: list[str]) -> typer.core.TyperGroup:
    """The command line with the command that these arguments name; with all commands if they name none."""
    app = typer.Typer(
        name="spectrumencoder",
        help="Tokenise, encode and watch radio spectrum: learn what is normal on a band and report what is not.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in arguments[:1] if arguments[:1] and arguments[0] in COMMANDS else COMMANDS:
        module = import_module(f".{name}", __package__)
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command()(getattr(module, name))
    return typer.main.get_group(app)


def _print_version(wanted: bool):
    if wanted:
        print(f"spectrumencoder {VERSION}")  # noqa: T201
        raise typer.Exit


def _options(version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_print_version,
                                                   help="Print the version and exit.")] = False):
    pass


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line.

    Args:
        arguments: what follows the program's name; the process's own when None.

    Returns:
        The exit status.
    """
    debug = os.environ.get("SPECTRUMENCODER_DEBUG", "") not in ("", "0")
    arguments = completed([f"{a}=" if a in _OPTIONAL_VALUE else a for a in (sys.argv[1:] if arguments is None else arguments)])
    for name in ("stdout", "stderr"):  # closed by the shell, as by >&-
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
    quiet_logs()
    STOP.begin()
    try:
        status = int(program(arguments).main(arguments, prog_name="spectrumencoder", standalone_mode=False) or 0)
        return _say(_INTERRUPTED, 1, debug) if status == _STATUS_OF_TYPER else status
    except HungError as error:
        leave(str(error))
    except CommandError as error:
        return _say(error, error.status, debug)
    except SettingError as error:
        return _say(error, 2, debug)
    except typer.exceptions.TyperException as error:  # bad usage, found by typer; without arguments it has printed the help
        return _say(error.format_message(), getattr(error, "exit_code", 2), debug) if error.format_message() else 2
    except (KeyboardInterrupt, typer.Abort):
        return _say(_INTERRUPTED, 1, debug)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # the interpreter flushes it at exit
        return 1
    except Exception as error:  # noqa: BLE001 (the boundary of the program: everything becomes one line)
        # one that Ctrl-C has caused in the middle of an import
        return _say(_INTERRUPTED if STOP.came and isinstance(error, ImportError) else _one_line(error), 1, debug)
    finally:
        STOP.end()


def _one_line(error: Exception) -> str:
    """One line for an error. A missing package: what to install. The project's own errors, ValueError and OSError: the message.
    Others: type, message and a hint."""
    cure = how_to_get((error.name or "").partition(".")[0]) if isinstance(error, ModuleNotFoundError) else None
    if cure:
        return f"this needs the package {error.name.partition('.')[0]}, which is not installed; {cure}"
    own = type(error).__module__.split(".")[:2]
    if isinstance(error, (OSError, ValueError)) or "spectrumencoder" in own:
        return str(error)
    return f"{type(error).__name__}: {error} (SPECTRUMENCODER_DEBUG=1 shows where)"


def _say(message, status: int, debug: bool) -> int:
    if debug:
        import traceback
        traceback.print_exc()
    print("error: " + " ".join(str(message).split()), file=sys.stderr)  # noqa: T201
    return status
