# SPDX-License-Identifier: GPL-3.0-or-later
"""The recordings of an archive on a Dask cluster: a task for each, results back by the scheduler, nothing written by a worker.

A worker runs a recording in a child process of its own: GNU Radio wants the main thread, which a task has not, and a crash of it
costs the recording, not the worker. The task of a worker that dies runs elsewhere; what reaches the client is taken once."""

from __future__ import annotations

import logging
import os
import platform
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..version import VERSION
from .archive import Found, gather, private_files
from .archive_journal import Item, as_found
from .errors import SessionError
from .job_process import JobProcess
from .jobs import Plan

CONNECT_S = 10.0
WORKERS_S = 60.0  # without any worker for so long, the run ends
IDLE_S = 60.0     # without work for so long, a child process of a worker ends
_POLL_S = 1.0


def run_on_cluster(plan: Plan, items: list[Item], address: str,
                   say: Callable[[str], None] = lambda note: None) -> Iterator[tuple[int, Found | Exception]]:
    """Runs recordings on the workers of a scheduler, and yields (number, result) as they come.

    Args:
        plan: with the name of a model, or the path of one.
        items: the recordings.
        address: of the scheduler, such as tcp://10.0.0.5:8786.
        say: is called with lines that a user should read.

    Raises:
        SessionError: there is no scheduler, it has gone, it has no workers, or a worker cannot do the work.
        ModuleNotFoundError: the extra "cluster" is not installed.
    """
    from distributed import CancelledError
    if not items:
        return
    run = uuid.uuid4().hex[:12]
    plan = replace(plan, settings=replace(plan.settings, threads=1, model=_anywhere(plan.settings.model)))
    with _connected(address) as client:
        running: dict[Any, int] = {}
        try:
            room = _Room(client, address)
            _check_workers(client, items[0], say)
            waiting = list(range(len(items)))[::-1]
            while waiting or running:
                for number in [waiting.pop() for _ in range(min(len(waiting), room.threads() - len(running)))]:
                    future = client.submit(run_one, plan, items[number], run, VERSION, key=f"{run}-{number}", pure=False)
                    running[future] = number
                for future in _done(list(running)):
                    number = running.pop(future)
                    yield number, _result(future, items[number])
        except (CancelledError, OSError) as error:
            raise SessionError(f"the scheduler {address} has gone; start it again, and its workers: what "
                               "is finished is kept, and the same command goes on") from error
        finally:
            _stop(client, list(running), run)


def run_one(plan: Plan, item: Item, run: str, version: str) -> Found | Exception:
    """The task of a worker: runs a recording in the child process of its thread. run: identity of the client's run; version: its
    release."""
    from distributed import get_worker
    if version != VERSION:  # of a worker that came later
        return SessionError(f"{item.name}: the worker {platform.node()} has gr-spectrumencoder {VERSION}, not {version}; install "
                            "the same release there")
    why = as_found(item.files)
    if why:
        return SessionError(f"{item.name}: {why}, on the worker {platform.node()}; all workers must see the recordings as this "
                            "machine does, under the same paths")
    with tempfile.TemporaryDirectory(dir=get_worker().local_directory) as folder:  # Dask clears it after a crash
        files = private_files(Path(folder), 0)
        child = _child(plan, run)
        child.send(item.path, files)
        result = child.receive(item.path.stem)
        return gather(result, files)


def about_worker(files: tuple) -> dict:
    """What a client wants to know of a worker: release, instruction set, why it cannot read files ("": it can)."""
    from ..encoder.native import best_instructions
    return {"version": VERSION, "instructions": best_instructions(), "unreadable": as_found(files)}


def stop_run(run: str) -> None:
    """Ends the child processes of a worker that are of a run."""
    with _lock:
        for of, child in _children.values():
            if of == run:
                child.kill()


_lock = threading.Lock()
_children: dict[int, tuple[str, JobProcess]] = {}  # thread -> identity of the run, and its process


def _child(plan: Plan, run: str) -> JobProcess:
    """The child process of this thread, for this run: the one that is there, or a new one."""
    me = threading.get_ident()
    with _lock:
        of, child = _children.get(me, ("", None))
        if child is not None and (of != run or not child.is_alive()):
            child.close(busy=True)
            child = None
        if child is None:
            child = JobProcess(plan, idle_s=IDLE_S)
            _children[me] = run, child
        return child


class _Room:
    """The number of task threads of a cluster, whose workers come and go.

    Raises:
        SessionError: there has been no worker for ``WORKERS_S``.
    """

    def __init__(self, client, address: str):
        self._client, self._address, self._seen_s = client, address, time.monotonic()
        while not self.threads():
            time.sleep(0.2)

    def threads(self) -> int:
        if self._client.status != "running":
            raise ConnectionError("connection lost")
        n_threads, now = sum(self._client.nthreads().values()), time.monotonic()
        if n_threads:
            self._seen_s = now
        elif now - self._seen_s > WORKERS_S:
            raise SessionError(f"the scheduler {self._address} has had no worker for {WORKERS_S:g} s; start some by `dask worker "
                               f"{self._address} --nthreads 1`: what is finished is kept, and the same command goes on")
        return n_threads


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """A client of the scheduler, whose own log is silent: what it has to say comes as one error."""
    from distributed import Client
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "distributed.core", "tornado")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        try:
            client = Client(address, timeout=CONNECT_S)
        except (OSError, ValueError, TypeError) as error:
            raise SessionError(f"there is no Dask scheduler at {address} ({error}); start one by `dask scheduler`, and give the "
                               "address that it prints, such as tcp://10.0.0.5:8786") from error
        try:
            yield client
        finally:
            client.close(timeout=2)
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _check_workers(client, first: Item, say: Callable[[str], None]) -> None:
    """Raises SessionError if a worker cannot run recordings as this machine does."""
    answers = client.run(about_worker, first.files, on_error="return")
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            raise SessionError(f"the worker {worker} cannot run recordings ({answer}); install gr-spectrumencoder {VERSION} for "
                               "the Python that runs it")
        if answer["version"] != VERSION:
            raise SessionError(f"the worker {worker} has gr-spectrumencoder {answer['version']}, this machine {VERSION}; install "
                               "the same release on both")
        if answer["unreadable"]:
            raise SessionError(f"{answer['unreadable']}, on the worker {worker}; all workers must see the recordings as this "
                               "machine does, under the same paths")
    kinds = {answer["instructions"] for answer in answers.values()}
    if len(kinds) > 1:
        say(f"workers differ in their instruction sets ({', '.join(sorted(map(str, kinds)))}): numbers differ by about 1e-7")


def _done(futures: list) -> list:
    """Those that have ended, after a second at most."""
    from distributed import wait
    if not futures:
        time.sleep(_POLL_S)
        return []
    try:
        return list(wait(futures, timeout=_POLL_S, return_when="FIRST_COMPLETED").done)
    except TimeoutError:
        return []


def _result(future, item: Item) -> Found | Exception:
    """The result of a task, or the reason that it has none."""
    from distributed import KilledWorker
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, KilledWorker):
        return SessionError(f"{item.name}: {error.allowed_failures + 1} workers died while they ran it; see their logs, and run "
                            "it alone")
    return error


def _stop(client, futures: list, run: str) -> None:
    """Ends what is still running, and the child processes of the run. The scheduler may be gone."""
    if client.status != "running":
        return
    try:
        client.cancel(futures, force=True)
        client.run(stop_run, run, on_error="ignore")
    except Exception as error:  # noqa: BLE001 (the work is over, or another error says why not)
        logging.getLogger(__name__).debug("cannot stop the workers: %s", error)


def _anywhere(model: str) -> str:
    """A model as any folder sees it: the path of a file becomes absolute, a name stays."""
    from ..encoder.ensemble import SPECULATIVE, members
    if (two := members(model)) is not None:
        return f"{SPECULATIVE}:{','.join(map(_anywhere, two))}"
    return os.path.abspath(model) if os.sep in model or model.endswith(".safetensors") else model
