# SPDX-License-Identifier: GPL-3.0-or-later
"""``calibrate soapy:... --scan``: a radio scans its ranges, and all hops teach one band."""

from __future__ import annotations

from pathlib import Path

from ..emitters.band_file import BandFile, load
from ..settings import EMITTERS
from .errors import HungError, SessionError
from .flowgraph import Flowgraph, RunSettings
from .progress import Progress, no_progress
from .radio import end, run_radio
from .scanning import ScanOptions, ScanPart
from .sources import RadioOptions
from .stats import RunStats

_FOR_EVER_S = 1e9


def learn_scan(radio: RadioOptions, scanning: ScanOptions, work: Path, chain: dict, progress: Progress = no_progress) -> BandFile:
    """Scans for ``radio.duration`` seconds of signal.

    Args:
        work: an empty folder. chain: settings of the chain, by key.

    Raises:
        SettingError, SessionError: see ``run_radio``; also if Ctrl-C ended it. HungError: the radio hangs.
    """
    file, flowgraphs = work / "scan.band", []

    def keep(flowgraph: Flowgraph) -> list:
        flowgraphs.append(flowgraph)
        return []
    settings = RunSettings(**chain | {"detector": EMITTERS, "learn_s": _FOR_EVER_S, "band_file": str(file),
                                      "usable": scanning.usable})
    outcome = run_radio(radio, settings, stats=RunStats(None, ""), parts=[ScanPart(scanning), keep], progress=progress)
    if outcome.hung:
        raise HungError(f"{outcome.name}: {outcome.fault or outcome.hung}")
    end(outcome)
    if outcome.interrupted:
        raise SessionError(f"{outcome.name}: interrupted after {outcome.seconds:.3g} s; nothing was learned")
    flowgraphs[0].monitor.detector.finish_learning()
    band = load(file)
    if not band.tunings:
        raise SessionError(f"{outcome.name}: {outcome.seconds:.3g} s are too short to learn from: a hop needs 0.1 s and 32 "
                           "frames; give a longer --duration")
    return band
