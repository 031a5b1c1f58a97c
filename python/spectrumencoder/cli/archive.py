# SPDX-License-Identifier: GPL-3.0-or-later
"""``run --report``: an archive of recordings into one folder, here or on a cluster. The work is in ``session/archive``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from ..session.errors import SessionError
from ..session.jobs import Plan
from .console import NOTES, OUT, ProgressLine
from .errors import CommandError, UsageError

Report = Annotated[Path | None, typer.Option(metavar="DIR", help="Write one report over all recordings into this folder: events, "
                                             "tables, a page with pictures. The same command goes on after it was ended.",
                                             show_default=False)]
Cluster = Annotated[str, typer.Option(metavar="tcp://HOST:PORT", help="Run the recordings of a report on the workers of this "
                                      "Dask scheduler.", show_default=False)]
_SCHEMES = ("tcp://", "tls://")


def check(report: Path | None, cluster: str, jobs: int, in_files: bool, **others) -> None:
    """Raises UsageError if options contradict each other.

    Args:
        in_files: whether the source is recordings in files. others: given or not, those that a report takes the place of.
    """
    if cluster and not cluster.startswith(_SCHEMES):
        raise UsageError(f"--cluster {cluster} is not the address of a Dask scheduler; write it like tcp://10.0.0.5:8786")
    if cluster and report is None:
        raise UsageError("--cluster runs recordings into a report; add --report DIR")
    if cluster and jobs > 1:
        raise UsageError(f"--jobs {jobs} is for this machine, --cluster has workers of its own; leave one of them out")
    if report is not None and not in_files:
        raise UsageError(f"--report {report} is for recordings in files; leave it out for a radio or a stream")
    given = [name for name, value in others.items() if value]
    if report is not None and given:
        raise UsageError(f"--{given[0].replace('_', '-')} does not go with --report, which writes files of its own into "
                         f"{report}; leave one of them out")


def run_archive(plan: Plan, source: str, paths: list[Path], folder: Path, jobs: int, cluster: str, quiet: bool,
                run_all: Callable[[Iterator, ProgressLine], tuple]) -> None:
    """Runs the recordings and writes the report, also over a part of them if something ends the run.

    Args:
        run_all: takes the results and the progress, prints them, and returns the outcomes and the errors.

    Raises:
        CommandError: recordings failed, or the run was ended.
    """
    from ..session.archive import Archive

    def say(note: str):
        if not quiet:
            NOTES.print(f"note: {note}", markup=False)

    with Archive(plan, source, paths, folder) as archive:
        if archive.n_kept:
            say(f"{archive.n_kept} of {len(paths)} recordings are finished already, and taken from {folder}")
        ended = ""
        with ProgressLine(quiet=quiet, counts=True) as progress:
            try:
                with closing(archive.results(jobs, cluster, progress, say)) as results:
                    run_all(results, progress)
            except KeyboardInterrupt:
                ended = "interrupted"
            except SessionError as error:
                if not any(map(archive.is_finished, archive.items)):
                    raise
                ended = str(error)
        archive.write_report()
        finished = archive.outcomes()
        if not quiet:
            OUT.print(f"{len(finished)} of {len(paths)} recordings, {sum(one.n_alerts for one in finished)} alerts: "
                      f"{folder / 'index.html'}", markup=False)
        failed = sum(bool(archive.entry(item).get("error")) for item in archive.items) + sum(bool(one.fault) for one in finished)
    if ended == "interrupted":
        raise CommandError(f"interrupted; {len(finished)} of {len(paths)} recordings are finished, and the same command goes on")
    if ended:
        raise CommandError(ended)
    if failed:
        raise CommandError(f"{failed} of {len(paths)} recordings failed; {folder / 'failed.html'} says why")
