# SPDX-License-Identifier: GPL-3.0-or-later
"""Many simulated sensors and a hub on one machine: losses, time of a message from its making to the hub's disk, bytes.

The sensors are whole ``Sender``s with spools and keys, several in each of some processes. They send PDUs of the model as often
as a radio at `rate` with K = `average` would, health each second, and now and then an alert. The hub is whole, too: it checks,
stores with a sync to the disk, and decodes what it has time for, in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..encoder.model_file import find_model, load
from ..encoder.quantise import Codec, Group
from ..hub import certificates
from ..hub.message import ALERT, HEALTH, KIND_NAMES, SPECTRA, json_bytes
from ..hub.receiver import Accepted
from ..hub.sender import Sender
from ..hub.server import Hub
from ..measure.machine import head
from ..spool import Spool

_FFT_SIZE = 1024
_ALERT_S = 10.0  # between two alerts of a sensor
_DRAIN_S = 60.0  # for what waits at the end


@dataclass(frozen=True)
class Sizes:
    """sensors, in how many processes; seconds; rate (samples/s), average (K), group (spectra of a PDU), step (dB) of each."""

    sensors: int = 50
    processes: int = 5
    seconds: float = 60.0
    rate: float = 2.4e6
    average: int = 64
    group: int = 64
    step: float = 0.5


QUICK = Sizes(sensors=5, processes=2, seconds=3.0)


def hub(model: str = "base", *, sizes: Sizes = Sizes(), seed: int = 0,
        progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Runs sensors and hub.

    Returns:
        head; `sent`, `stored`, `lost`, `refused`: messages; `latency_ms`: p50, p99, max, of all messages; `bytes_per_s`: of a
        sensor, all and by kind; `bytes_per_spectrum`; `overhead_share` of the messages around their payloads; `cpu_s_per_s`: of
        the hub without decoding, and of all sensors; `decoded`, `left_out`: PDUs.
    """
    result = head("hub", asdict(sizes) | {"model": model, "seed": seed})
    latencies: list[float] = []
    by_kind: dict[str, int] = {}
    payload = [0]

    def take(accepted: list[Accepted]):
        for message, stored_s, size in accepted:
            latencies.append(stored_s - message.time_s)
            payload[0] += len(message.payload)
            kind = KIND_NAMES[message.kind]
            by_kind[kind] = by_kind.get(kind, 0) + size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"s{number:02d}" for number in range(sizes.sensors)]
        for one in names:
            certificates.make_sensor(folder / "keys", one)
        data = folder / "pdu"
        data.write_bytes(_pdu(Codec(load(find_model(model))), sizes, seed))
        server = _Timed(take, folder)
        port = int(server.receiver.address.rpartition(":")[2])
        context = multiprocessing.get_context("spawn")
        results: Any = context.Queue()
        shares = [names[first::sizes.processes] for first in range(sizes.processes)]
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        children = [context.Process(target=_sensors, args=(share, port, str(folder), asdict(sizes), results))
                    for share in shares if share]
        for child in children:
            child.start()
        reports = []
        for number in range(len(children)):
            progress(number, len(children), f"{sizes.sensors} sensors")
            reports.append(results.get(timeout=sizes.seconds + _DRAIN_S + 120.0))
        for child in children:
            child.join()
        spent = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        stored, refused, lost = server.receiver.n_stored, dict(server.receiver.counts), sum(server.receiver.lost.values())
        total, spectra = server.receiver.n_bytes, sum(one.budget.n_spectra for one in server.site.stations.values())
        result |= {"sent": sum(report["sent"] for report in reports), "stored": stored, "lost": lost + sum(
            report["overrun"] + report["failed"] + report["dropped"] for report in reports),
            "waiting": sum(report["waiting"] for report in reports),
            "refused": {reason: sum(n for (_, why), n in refused.items() if why == reason) for _, reason in refused},
            "latency_ms": {key: 1e3 * float(value) for key, value in zip(("p50", "p99", "max"), np.percentile(
                latencies, (50, 99, 100)), strict=True)},
            "bytes_per_s": total / sizes.sensors / sizes.seconds,
            "bytes_per_s_by_kind": {kind: size / sizes.sensors / sizes.seconds for kind, size in sorted(by_kind.items())},
            "bytes_per_spectrum": len(data.read_bytes()) / sizes.group,
            "overhead_share": 1 - payload[0] / total, "spectra": spectra,
            "cpu_s_per_s": {"hub": (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / spent,
                            "sensors": sum(report["cpu_s"] for report in reports) / spent},
            "decoded": server.site.decoder.n_decoded, "left_out": server.site.decoder.n_left_out}
        server.close()
    progress(1, 1, "done")
    return result


class _Timed(Hub):
    """A hub that also gives each message to a function."""

    def __init__(self, take: Callable[[list[Accepted]], None], folder: Path):
        self._also = take
        super().__init__("tcp://127.0.0.1:*", folder / "hub.db", folder / "keys")

    def _take(self, accepted: list[Accepted]) -> None:
        self._also(accepted)
        super()._take(accepted)


def _pdu(codec: Codec, sizes: Sizes, seed: int) -> bytes:
    """A group of noise with four emitters, as a quiet band has them."""
    rng = np.random.default_rng(seed)
    level = 10 * np.log10(rng.gamma(sizes.average, 1 / sizes.average, (sizes.group, _FFT_SIZE)))
    for low, high, power in ((100, 104, 20.0), (300, 340, 8.0), (512, 513, 30.0), (800, 806, 12.0)):
        level[rng.random(sizes.group) < 0.5, low:high] = power
    config = codec.file.config(codec.file.variants[0])
    latents = np.zeros((sizes.group, config.latents, config.latent_width), np.float32)
    return codec.encode(Group(latents, level.astype(np.float32), np.full(sizes.group, -98.0), (sizes.average,) * sizes.group,
                              codec.file.variants[0], codec.bands[0], 0, sizes.average * _FFT_SIZE, sizes.rate, 433.92e6, 1.8e9,
                              np.zeros(sizes.group, int), np.full(sizes.group, 0.5)), step=sizes.step)


def _sensors(names: list[str], port: int, folder: str, sizes: dict, results: Any) -> None:
    """The process of some sensors: a thread each, which sends by the clock."""
    sizes_, data = Sizes(**sizes), (Path(folder) / "pdu").read_bytes()
    senders = [Sender(f"tcp://127.0.0.1:{port}", name, Spool(Path(folder) / f"{name}.spool", 1 << 26),
                      certificates.load_sensor(Path(folder) / "keys" / f"{name}.key"), {}) for name in names]
    rng = np.random.default_rng(abs(hash(names[0])) % 2**32)
    threads = [threading.Thread(target=_play, args=(sender, data, sizes_, float(rng.random()))) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sender in senders:
        sender.flush(_DRAIN_S)
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = {"sent": sum(sum(sender.sent.values()) for sender in senders), "waiting": sum(one.n_waiting for one in senders),
              "overrun": sum(one.n_overrun for one in senders), "failed": sum(one.n_failed for one in senders),
              "dropped": sum(one.n_dropped for one in senders), "cpu_s": used.ru_utime + used.ru_stime}
    for sender in senders:
        sender.close(0.0)
    results.put(report)


def _play(sender: Sender, data: bytes, sizes: Sizes, phase: float) -> None:
    """Sends for the time of the bench: each kind at its times."""
    group_s = sizes.group * sizes.average * _FFT_SIZE / sizes.rate
    health = json_bytes({"frames": 123456, "frames_per_s": 36.6, "latency_p50_ms": 21.5, "latency_p99_ms": 44.1, "queue_depth": 0,
                         "dropped_frames": 0, "dropped_constant": 0, "clipped_frames": 0, "skipped_frames": 0, "overflows": 0,
                         "device": "driver=rtlsdr", "waiting_messages": 0, "dropped_messages": 0})
    event = json_bytes({"event_id": "425984-0", "state": "open", "alert": "new", "timestamp": 1767225600.21, "snr_db": 14.2,
                        "freq_center_hz": 433920000.0, "bandwidth_hz": 48828.125, "power_dbfs": -34.1, "anomaly_score": 1.7,
                        "threshold": 1.0, "is_anomaly": True, "threat_level": "medium", "label": "unknown signal",
                        "confidence": 0.71, "band": "ism", "model": "base", "emitter_id": 12, "bursts": 1})
    period = {SPECTRA: (group_s, data), HEALTH: (1.0, health), ALERT: (_ALERT_S, event)}
    began = time.monotonic()
    due = {kind: began + phase * every for kind, (every, _) in period.items()}
    while (now := time.monotonic()) < began + sizes.seconds:
        for kind, (every, payload) in period.items():
            if now >= due[kind]:
                sender.send(kind, payload)
                due[kind] += every
        time.sleep(max(0.0, min(min(due.values()), began + sizes.seconds) - time.monotonic()))
