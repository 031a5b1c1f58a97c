# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of anomalies and their levels. ``anomaly_draws.draw_anomaly`` draws one, ``anomaly_rendering.apply_anomaly`` puts it in.

The table states the level of each kind. INR is the anomaly's mean power while on, over the power of noise plus signals in its own
bins and samples. A "free" place is one that no channel of the plan takes.

======================  ==================================================================================================
tone                    a carrier at a free place. INR over one bin of a 1024-bin frame
scont                   a new continuous signal at a free place. INR
pulse                   one short pulse at a free place. INR
wpulse                  one short pulse over several channels. INR
wideband                a barrage: white noise over the whole rate, the floor rises. INR over the whole rate
chirp                   1 to 16 sweeps over any signals. INR over the swept band
hopper                  dwells of equal power at free places, one truth row each. INR; the background is the mean over the
                        dwells' own bins and samples
detshift                a signal of the plan moves to another free place; its own place is silent. INR at the new place.
                        Recording: a copy of a channel at another place; the channel continues
dclass                  another waveform of similar width replaces an emitter, at that emitter's mean power while on. INR
                        without the replaced signal; the level follows from the plan.
                        Recording: the channel is cut out and refilled with noise of the floor beside it. The waveform is
                        added at the channel's mean power
missing                 an emitter falls silent. The level is the SNR that it would have: its mean power while on over the
                        noise in its band. Recording: the channel is cut out and refilled; the level is its mean power minus
                        the floor, over the floor
spoof                   a copy of the scene's GNSS signal with a code offset of 0.5 to 2 chips and a drifting carrier offset.
                        Power over the authentic signal's. Recording: a simulated constellation. The authentic one cannot be
                        measured below the noise; it is taken as AUTHENTIC_SNR_DB over the noise in its band
jam_tone                a carrier on a channel. INR
jam_swept               sweeps of hundreds to thousands of samples over a third to three quarters of the rate. INR
jam_pulsed              noise pulses with a duty of 0.1 to 0.4 on a channel. INR while on
jam_broadband           noise over a third to three quarters of the rate. INR
stealth                 spread below the floor. Its power spectral density over that of the noise, negative dB
======================  ==================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field

SCORED_KINDS = ("tone", "scont", "pulse", "wpulse", "wideband", "chirp", "hopper", "detshift", "dclass", "missing")
ANOMALY_KINDS = (*SCORED_KINDS, "spoof", "jam_tone", "jam_swept", "jam_pulsed", "jam_broadband", "stealth")
DEFAULT_LEVELS_DB = dict.fromkeys(ANOMALY_KINDS, 15.0) | {"spoof": 3.0, "stealth": -3.0}
AUTHENTIC_SNR_DB = -20.0
MIN_SAMPLES = 4096


@dataclass(frozen=True)
class Anomaly:
    """The full plan of one anomaly: the same plan gives the same samples.

    Attributes:
        sample_start, sample_count: place in the samples that it is drawn for.
        freq_offset_hz: offset from the centre.
        level_db: level as the kind defines it. For dclass and missing it is the channel's; the truth has the measured one.
        seed: seed of its samples.
        params: further values that its kind needs.
        dwells: a hopper's dwells, (start, count, freq_offset_hz).
    """

    kind: str
    sample_start: int
    sample_count: int
    freq_offset_hz: float
    bandwidth_hz: float
    level_db: float
    seed: int
    params: dict = field(default_factory=dict)
    dwells: tuple[tuple[int, int, float], ...] = ()
