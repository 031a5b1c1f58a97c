# SPDX-License-Identifier: GPL-3.0-or-later
"""The link budget of a sensor, measured: bytes a second by kind, and what the spectra take of it."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from .. import keys
from ..encoder.pdu import GroupHeader, step_of
from .message import KIND_NAMES, SPECTRA

WINDOW_S = 60.0


class Budget:
    """Bytes of the last minute. Not safe for threads.

    Messages count as they are; on the wire each takes 35 to 42 bytes more with keys (CURVE), 2 to 9 without, and TCP's own.
    """

    def __init__(self):
        self._seconds: deque[tuple[int, Counter, int]] = deque()  # (second, bytes by kind, spectra)
        self._began_s: float | None = None
        self._header: GroupHeader | None = None
        self.n_bytes = self.n_spectra = self.n_messages = 0

    def add(self, now_s: float, kind: int, size: int, header: GroupHeader | None = None) -> None:
        """Takes a message. header: of its PDU."""
        self._began_s = now_s if self._began_s is None else self._began_s
        if not self._seconds or self._seconds[-1][0] != int(now_s):
            self._seconds.append((int(now_s), Counter(), 0))
        second, counts, spectra = self._seconds[-1]
        counts[kind] += size
        self.n_bytes, self.n_messages = self.n_bytes + size, self.n_messages + 1
        if header is not None:
            self._header, self.n_spectra = header, self.n_spectra + header.n_frames
            self._seconds[-1] = second, counts, spectra + header.n_frames
        self._forget(now_s)

    def table(self, now_s: float) -> dict[str, Any]:
        """The figures: bytes a second by kind, bytes a spectrum, and K, step and group of the newest PDU."""
        self._forget(now_s)
        counts: Counter = sum((one for _, one, _ in self._seconds), Counter())
        spectra = sum(one for _, _, one in self._seconds)
        # A backlog that comes at once is no rate: at least the time since the first message counts
        span = min(WINDOW_S, max(1.0, now_s - (self._began_s if self._began_s is not None else now_s)))
        rows: dict[str, Any] = {"bytes_per_s": sum(counts.values()) / span,
                                "by_kind": {KIND_NAMES[kind]: size / span for kind, size in sorted(counts.items())},
                                "spectra_per_s": spectra / span,
                                "bytes_per_spectrum": counts[SPECTRA] / spectra if spectra else None,
                                "bytes": self.n_bytes, "spectra": self.n_spectra, "messages": self.n_messages}
        if (header := self._header) is not None:
            step = header.latent_step if header.detail_step is None else header.detail_step
            rows |= {keys.FRAME_AVERAGE: int(header.average[0]), keys.ENCODED_STEP: step_of(step),
                     "encoded_group": header.n_frames, "spectra_per_s_sent": header.rx_rate / header.frame_hop,
                     keys.RX_RATE: header.rx_rate, keys.RX_FREQ: header.rx_freq}
        return rows

    def _forget(self, now_s: float):
        while self._seconds and self._seconds[0][0] < now_s - WINDOW_S:
            self._seconds.popleft()
