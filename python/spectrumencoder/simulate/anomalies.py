# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of anomalies and their levels. ``anomaly_draws.draw_anomaly`` draws one, ``anomaly_rendering.apply_anomaly`` puts it in.

The level of each kind; INR is the mean power while on over the power of noise plus signals in the anomaly's own bins, in the
samples where it is put. "Free": at a place that no channel of the plan takes.

======================  ==================================================================================================
tone                    a carrier at a free place. INR, one bin of a 1024-bin frame being its own
scont                   a new continuous signal at a free place. INR
pulse                   one short pulse at a free place. INR
wpulse                  one short pulse over several channels. INR
wideband                a barrage: white noise over the whole rate, the floor rises. INR over the whole rate
chirp                   sweeps, 1 to 16 of them, over whatever is there. INR over the swept band
hopper                  dwells at free places, one truth row each, all of one power. INR, the background being the mean over
                        the dwells' own bins and samples
detshift                a signal of the plan at another free place, and its own is silent. INR at the new place.
                        Recording: a copy of what a channel holds, at another place; the channel goes on
dclass                  another waveform of similar width in the place of an emitter, at that emitter's mean power while on.
                        INR, the replaced signal not counting; the level follows from the plan.
                        Recording: the channel is cut out, refilled with noise of the floor beside it, and the waveform added
                        at the channel's mean power
missing                 an emitter falls silent. SNR that it would have had: its mean power while on over the noise in its
                        band. Recording: the channel is cut out and refilled; its mean power less the floor, over the floor
spoof                   a copy of the scene's GNSS signal, a code offset of 0.5 to 2 chips and a drifting carrier offset away.
                        Power over the authentic signal's. Recording: a simulated constellation; the authentic one, which
                        cannot be measured below the noise, is taken as AUTHENTIC_SNR_DB over the noise in its band
jam_tone                a carrier on a channel. INR
jam_swept               sweeps of some hundred to thousand samples over a third to three quarters of the rate. INR
jam_pulsed              noise pulses of a duty of 0.1 to 0.4 on a channel. INR while on
jam_broadband           noise over a third to three quarters of the rate. INR
stealth                 spread thinly below the floor. Its power spectral density over that of the noise, negative dB
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
    """One anomaly, decided in full: the same plan gives the same samples.

    Attributes:
        sample_start, sample_count: in the samples that it is drawn for. freq_offset_hz: from the centre.
        level_db: what the kind says. Of dclass and missing it is that of the channel; the truth has it as measured.
        seed: of its samples. params: what else its kind needs. dwells: of a hopper, (start, count, freq_offset_hz).
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
