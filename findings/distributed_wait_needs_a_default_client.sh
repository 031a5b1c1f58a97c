#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# wait() and as_completed() of Dask's distributed look for a default client, though each future knows its own.
#
# Seen: distributed 2026.8.0 (PyPI), with a Client that was made with set_as_default=False.
# * wait([future]) and as_completed([future]) raise ValueError "No clients found", for a future that is done or will be.
# * client.gather([future]) and future.result() of the same future work.
# A library that must not become its host program's default client can use neither. Cure: client.gather, callbacks of the futures, or
# "with client.as_current()" around the call.
#
# Usage: findings/distributed_wait_needs_a_default_client.sh; exit status 0: still as described.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check distributed==2026.8.0 2>"$work/log" || { tail -5 "$work/log" >&2; exit 2; }
cd "$work"
cat >see.py <<'PYTHON'
import sys

import distributed
from distributed import Client, LocalCluster, as_completed, wait


def said(call):
    """What a call gives, or the first line of its ValueError."""
    try:
        return call()
    except ValueError as error:
        return str(error).splitlines()[0]


if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        with Client(cluster, set_as_default=False) as client:
            future = client.submit(abs, -1)
            gathered = client.gather([future])
            rows = {"wait": said(lambda: wait([future])), "as_completed": said(lambda: list(as_completed([future])))}
            with client.as_current():
                inside = len(wait([future]).done)
    print(f"distributed {distributed.__version__}: gather {gathered}, {rows}; within client.as_current(): {inside} done")
    sys.exit(not (gathered == [1] and set(rows.values()) == {"No clients found"} and inside == 1))
PYTHON
timeout 120 venv/bin/python see.py
