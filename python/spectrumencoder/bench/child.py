# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of this folder in processes of their own, for measurements that need one: peak memory, a neighbour, scaling."""

from __future__ import annotations

import json
import os
import subprocess
import sys

_CODE = ("import ctypes, json, sys; from importlib import import_module; "
         "ctypes.CDLL(None).prctl(1, 9); "  # PR_SET_PDEATHSIG: it ends with its parent
         "print(json.dumps(getattr(import_module(sys.argv[1]), sys.argv[2])(**json.loads(sys.argv[3]))), flush=True)")


class ChildError(Exception):
    """A child process that failed; one line."""


def start(module: str, function: str, **arguments) -> subprocess.Popen:
    """Starts `function(**arguments)` of the module of this folder. `result` returns its value (both as JSON)."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen([sys.executable, "-c", _CODE, f"{__package__}.{module}", function, json.dumps(arguments)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def result(process: subprocess.Popen, timeout_s: float = 300.0):
    """Waits for the process and returns the value of its function.

    Raises:
        ChildError: it failed, or took too long.
    """
    try:
        out, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise ChildError(f"a child process took more than {timeout_s:g} s") from error
    if process.returncode:
        last = (errors.strip().splitlines() or ["no message"])[-1]
        raise ChildError(f"a child process ended with {process.returncode}: {last}")
    return json.loads(out.splitlines()[-1])


def ready(process: subprocess.Popen):
    """Waits for the line that it prints when it is prepared. Raises ChildError: it ended before."""
    if not process.stdout.readline():
        result(process)
        raise ChildError("a child process ended before it was ready")


def call(module: str, function: str, **arguments):
    """`result(start(...))`."""
    return result(start(module, function, **arguments))
