# SPDX-License-Identifier: GPL-3.0-or-later
"""`run --report --cluster`: a real scheduler and real workers on the loopback give what one machine gives, whatever dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from test_archive import content, journal, recordings, wait_for  # noqa: F401 (a fixture)

pytest.importorskip("distributed")
pytestmark = pytest.mark.timeout(300)  # of a machine that does other work, too
DASK = [sys.executable, "-m", "distributed.cli.dask_scheduler"], [sys.executable, "-m", "distributed.cli.dask_worker"]


class Cluster:
    """A scheduler and its workers, each a process; `address` of the scheduler."""

    def __init__(self, folder, n_workers, **settings):
        self._folder, self._file = folder, folder / "scheduler.json"
        self._environment = {**os.environ, **settings}
        folder.mkdir()
        self.scheduler = self._start(DASK[0], "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file",
                                     self._file)
        self.workers = [self._start(DASK[1], "--host", "127.0.0.1", "--scheduler-file", self._file, "--nthreads", "1",
                                    "--no-nanny", "--no-dashboard", "--local-directory", folder / str(number))
                        for number in range(n_workers)]
        self.address = wait_for(self._read_address)

    def _read_address(self):
        with suppress(OSError, ValueError):  # not there yet, or not whole
            return json.loads(self._file.read_text())["address"]
        return None

    def _start(self, program, *arguments):
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen([*program, *map(str, arguments)], stdout=log, stderr=log, env=self._environment)

    def close(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    """Starts clusters; they end with the test."""
    begun = []

    def start(n_workers, **settings):
        begun.append(Cluster(tmp_path / f"cluster{len(begun)}", n_workers, **settings))
        return begun[-1]
    yield start
    for one in begun:
        one.close()


@pytest.fixture
def archive(program, tmp_path):
    """Starts the run of an archive on a cluster, into `out`."""
    begun = []

    def start(folder, address):
        begun.append(subprocess.Popen([*program, "run", str(folder), "--report", str(tmp_path / "out"), "--cluster", address],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]
    yield start
    for process in begun:
        process.kill()
        process.communicate()


def children(process):
    """The processes in which a worker runs recordings."""
    listed = subprocess.run(["ps", "-ww", "--ppid", str(process.pid), "-o", "pid=,args="], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "job_process" in line]


def reader(cluster, name):
    """(worker, its child process) that has a file open; None: nobody has."""
    for worker in cluster.workers:
        for child in children(worker):
            for link in Path(f"/proc/{child}/fd").glob("*"):
                with suppress(OSError):
                    if os.readlink(link).endswith(name):
                        return worker, child
    return None


def test_a_worker_and_the_scheduler_die_and_the_report_is_that_of_one_machine(call, cluster, archive, recordings,  # noqa: F811
                                                                              tmp_path):
    folder, out, first = tmp_path / "in", tmp_path / "out", cluster(3)
    folder.mkdir()
    for path in recordings.glob("*.sigmf-*"):
        for copy in "12":
            shutil.copy(path, folder / f"{path.stem}{copy}{path.suffix}")
    process = archive(folder, first.address)
    (child,) = wait_for(lambda: len(journal(out)) >= 2 and children(first.workers[0]))
    first.workers[0].kill()
    wait_for(lambda: len(journal(out)) >= 5)
    assert not os.path.exists(f"/proc/{child}/exe")  # it has ended with its worker
    first.scheduler.kill()
    _, errors = process.communicate(timeout=100)
    kept = len(journal(out))
    assert process.returncode == 1 and 5 <= kept < 12, errors
    assert errors.splitlines()[-1] == (f"error: the scheduler {first.address} has gone; start it again, and its workers: what is "
                                       "finished is kept, and the same command goes on")
    assert f"{kept} of 12 recordings finished" in (out / "index.html").read_text()

    process = archive(folder, cluster(2).address)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0 and f"note: {kept} of 12 recordings are finished already" in errors, errors
    lines = [entry["key"] for entry in journal(out)]
    assert len(lines) == len(set(lines)) == 12
    assert call("run", folder, "--report", tmp_path / "here", "--jobs", 2).returncode == 0
    assert content(out) == content(tmp_path / "here")


def test_what_kills_is_reported_and_does_not_stop_the_rest(cluster, archive, recordings, write_sigmf, tmp_path):  # noqa: F811
    """A recording whose process is killed, as for its memory, and one that takes its worker along."""
    one = cluster(3, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    folder = tmp_path / "in"
    shutil.copytree(recordings, folder)
    for name in ("a0", "a00"):  # they take long at any speed: zeros without end on a disk that holds nothing of it
        write_sigmf(folder, name, b"\0" * 8)
        with (folder / f"{name}.sigmf-data").open("r+b") as file:
            file.truncate(8 * 3_000_000_000)
    process = archive(folder, one.address)
    _, poisoned = wait_for(lambda: reader(one, "/a0.sigmf-data"))
    deadly, _ = wait_for(lambda: reader(one, "/a00.sigmf-data"))
    os.kill(poisoned, signal.SIGKILL)
    deadly.kill()
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1 and errors.splitlines()[-1].startswith("error: 2 of 8 recordings failed"), errors
    assert "error: a0: its process ended with -9; see whether memory was short, and run it alone" in errors
    assert "error: a00.sigmf-meta: 1 workers died while they ran it" in errors and "Traceback" not in errors
    assert len({entry["key"] for entry in journal(tmp_path / "out") if "outcome" in entry}) == 6


def test_ctrl_c_ends_the_work_on_the_workers(cluster, archive, write_sigmf, tmp_path):
    one, folder = cluster(1), tmp_path / "in"
    folder.mkdir()
    path = write_sigmf(folder, "long", b"\0" * 8)
    with path.with_suffix(".sigmf-data").open("r+b") as file:
        file.truncate(8 * 3_000_000_000)
    process = archive(folder, one.address)
    wait_for(lambda: reader(one, "/long.sigmf-data"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert errors == "error: interrupted; 0 of 1 recordings are finished, and the same command goes on\n"
    wait_for(lambda: not children(one.workers[0]), 10)


def test_clusters_that_cannot_do_the_work(call, the_line, cluster, recordings, tmp_path):  # noqa: F811
    arguments = "run", recordings, "--report", tmp_path / "out", "--cluster"
    line = the_line(call(*arguments, "tcp://127.0.0.1:9"), 1)
    assert "there is no Dask scheduler at tcp://127.0.0.1:9" in line and "dask scheduler" in line
    foreign = tmp_path / "site" / "gnuradio"  # a Python that has another GNU Radio, without this module
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").touch()
    line = the_line(call(*arguments, cluster(1, PYTHONPATH=str(foreign.parent)).address), 1)
    assert "cannot run recordings" in line and "No module named 'gnuradio.spectrumencoder'" in line
    assert "install gr-spectrumencoder" in line
