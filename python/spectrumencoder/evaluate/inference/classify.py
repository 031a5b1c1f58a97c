# SPDX-License-Identifier: GPL-3.0-or-later
"""Classification of held-out recordings: the frames that are judged, the conditions, and the counts.

Frames that hold the signal are judged (`training.corpus.Source.holds_signal`), on the grid of the tokenizer, K = 16, or K = 4
if a file holds under 8 frames of K = 16, or K = 1 if none of those holds the signal. Nothing is padded or repeated, and a file
that yields no frame counts as wrong.
`noise` is judged on gaps between bursts, on noise-only files and on simulated noise.

Several models may be judged together, each on what it was not trained on: the folds of a cross-validation give one figure.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...encoder import features
from ...encoder.engine import Engine
from ...encoder.ensemble import open_engine
from ...tokens.tokenize import tokenize
from ...training import augment, front_end
from ...training.corpus import BLOCK, CLASSES, CorpusError, Source, load_corpus

CONDITIONS = ("plain", "equalised", "front-end")
FRONT_END_FRAMES = 12  # of noise through each recording's front end
FULL_AVERAGE, SHORT_AVERAGE, FEW_FRAMES = 16, 4, 8
SIMULATED_NOISE = 24  # recordings of simulated noise
NOISE_RATES = (250e3, 1e6, 1.92e6, 2.4e6, 10e6, 20e6)
BOOTSTRAP = 2000


@dataclass
class Judged:
    """Frames of one recording that are judged under one label."""

    recording: str
    label: str
    items: np.ndarray  # (F, item_size); F = 0: yields none, counts as wrong
    band: str
    file: str = ""  # the recording that it is from; empty where simulated
    shaped_by: str = ""  # front-end: class of the recording whose front end shaped the noise


def classify(corpus: list[Path] | Path, model: str | list[str] = "base", dropout_rate: float = 0.25, condition: str = "plain", *,
             seed: int = 0, include_trained: bool = False, backend: str = "auto", rope_mode: str = "", policy: str = "",
             compute: str = "auto", dtype: str = "fp32", threads: int = 1,
             progress: Callable[[int, int, str], None] | None = None) -> dict:
    """Judge a model's classes on a labelled corpus.

    Args:
        corpus: folder(s) labelled as the project's corpus is.
        model: name or path; several (the folds) are judged together, each on what it was not trained on.
        condition: `plain`, or `equalised`: each recording shifted, resampled, filtered, given noise (0-20 dB SNR while on in its
            99 % occupied bandwidth; GNSS at most 3 dB more noise) and requantised to 8 bits, its band hidden; or `front-end`, the
            control: white noise through the front end of each recording (training.front_end.response), of whatever class, and
            requantised, its band hidden: all of it is noise, whoever says otherwise has learnt receivers.
        include_trained: also judge recordings that the model was trained on.
        progress: called with (done, total, name).

    Returns:
        balanced_accuracy (mean recall of the classes present), accuracy (frames), recording_accuracy (real recordings),
        per_class, confusion, by_front_end (front-end: share called noise by the class of the recording whose front end it is),
        interval (95 %, of the balanced accuracy, bootstrap over recordings, their gaps and the simulated ones), n_frames,
        n_recordings (real ones), n_simulated_noise, dropout_rate, tokens_kept, wrong (recordings whose mean probability
        names another class), and how it was run.

    Raises:
        ValueError: unknown condition. CorpusError: nothing to judge. ModelError: the model file cannot be used.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"condition {condition!r} is not one of {', '.join(CONDITIONS)}")
    models = [model] if isinstance(model, str) else list(model)
    folders = [Path(corpus)] if isinstance(corpus, (str, Path)) else [Path(c) for c in corpus]
    all_sources = [s for s in load_corpus(folders) if s.label or condition == "front-end"]
    rows, judged_sources = [], 0
    for number, name in enumerate(models):
        engine = open_engine(name, dropout_rate=dropout_rate, backend=backend, rope_mode=rope_mode, dropout_policy=policy,
                             compute=compute, dtype=dtype, threads=threads)
        trained = engine.trained_on
        sources = [s for s in all_sources if include_trained or s.name not in trained]
        if len(models) > 1:  # what no fold holds out is judged by none
            sources = [s for s in sources if s.label]
        judged_sources += len(sources)
        judged = []
        for done, source in enumerate(sources):
            judged += judge(source, condition, seed, engine)
            source.__dict__.pop("iq", None)  # a whole corpus in memory is not needed
            if progress:
                progress(number * len(sources) + done + 1, len(models) * len(sources), source.name)
        if condition != "front-end":
            judged += simulated_noise(condition, seed + 1000 * number, engine)
        rows += [(j, engine.encode(j.items, j.band).features[:, features.PROBABILITIES][:, :len(engine.labels)]
                  if len(j.items) else np.zeros((0, len(engine.labels)), np.float32)) for j in judged]
    if not judged_sources:
        raise CorpusError(f"{', '.join(map(str, folders))}: every labelled recording was used in training of "
                          f"{', '.join(models)}; give other recordings, the models of the folds, or --include-trained to judge "
                          "them all the same")
    return summarise(rows, engine.labels, seed) | {
        "condition": condition, "seed": seed, "model": engine.model_name if len(models) == 1 else models,
        "variant": engine.variant, "backend": engine.backend, "dtype": engine.dtype,
        "dropout_policy": engine.dropout_policy, "dropout_rate": engine.dropout_rate, "tokens_kept": engine.k_kept,
        "include_trained": include_trained} | by_front_end(rows, engine.labels, condition)


def judge(source: Source, condition: str, seed: int, engine: Engine) -> list[Judged]:
    """The frames of one recording that hold the signal, and those of its gaps (label noise)."""
    layout = engine.layout
    if condition == "front-end":
        return front_end_noise(source, seed, engine)
    iq, factor, rate, band = source.iq, 1.0, source.samp_rate, source.band
    if condition == "equalised":
        rng = np.random.default_rng((seed, zlib.crc32(source.name.encode())))
        iq, factor = equalise(rng, source)
        rate, band = rate * factor, "unknown"
    full = len(iq) // (FULL_AVERAGE * layout.fft_size) >= FEW_FRAMES
    for average in (FULL_AVERAGE, SHORT_AVERAGE, 1)[not full:]:
        frames = tokenize(iq, rate, fft_size=layout.fft_size, stride=layout.stride, average=average, window=engine.config.window,
                          flush=False, keep_constant=True)
        spans = [(int(s / factor), int(average * layout.fft_size / factor)) for s in frames.frame_start]
        held = np.array([source.holds_signal(*s) for s in spans], bool)
        if held.any() or source.label == "noise":
            break
    gap = np.array([source.is_gap(*s) for s in spans], bool)
    out = []
    if source.label != "noise":
        out.append(Judged(source.name, source.label, frames.items[held] if len(spans) else frames.items, band,
                          source.name))
    if gap.any() or source.label == "noise":
        out.append(Judged(f"{source.name} (gaps)" if source.label != "noise" else source.name, "noise",
                          frames.items[gap] if len(spans) else frames.items, band, source.name))
    return out


def front_end_noise(source: Source, seed: int, engine: Engine) -> list[Judged]:
    """White noise through the front end of a recording, 8 bits, band hidden. None if its front end cannot be seen, because a
    signal as wide as the band never pauses.
    """
    amplitude = front_end.response(source)
    if amplitude is None:
        return []
    rng = np.random.default_rng((seed, 104729, zlib.crc32(source.name.encode())))
    iq = augment.white(rng, FRONT_END_FRAMES * FULL_AVERAGE * engine.n_bins, 1.0)
    iq = augment.quantise(front_end.shape(iq, amplitude), 8, float(rng.uniform(10, 20)))
    frames = tokenize(iq, source.samp_rate, fft_size=engine.n_bins, stride=engine.layout.stride, average=FULL_AVERAGE,
                      window=engine.config.window)
    return [Judged(f"{source.name} (front end)", "noise", frames.items, "unknown", source.name, source.cls)]


def by_front_end(rows: list[tuple[Judged, np.ndarray]], labels: list[str], condition: str) -> dict:
    """Share of frames called noise, by the class of the recording whose front end shaped them; {} in other conditions."""
    if condition != "front-end":
        return {}
    noise, shares = labels.index("noise"), {}
    for j, p in rows:
        shares.setdefault(j.shaped_by, []).extend(p.argmax(axis=1) == noise)
    others = [x for cls, seen in shares.items() if cls != "GNSS" for x in seen]  # whose label is the shape of a front end
    return {"by_front_end": {cls: {"called_noise": round(float(np.mean(x)), 4), "n_frames": len(x)}
                             for cls, x in sorted(shares.items())},
            "called_noise_without_gnss": round(float(np.mean(others)), 4) if others else None}


def equalise(rng: np.random.Generator, source: Source) -> tuple[np.ndarray, float]:
    """Shift, resample, filter, noise, 8 bits; returns the samples and the resampling factor."""
    width, _, _ = augment.occupied(on_psd(source, source.iq, 1.0))
    factor = float(max(np.exp(rng.uniform(np.log(0.75), np.log(1.5))), min(1.0, 1.05 * width)))
    room = max(0.0, min(0.15, 0.5 * (1.0 - width / factor)))
    channel = augment.Channel(factor=factor, shift=float(rng.uniform(-room, room)), edge=float(rng.uniform(0.85, 1.0)),
                              rolloff=float(rng.uniform(0.05, 0.2)), stop_db=float(rng.uniform(10, 40)),
                              tilt_db=float(rng.normal(0, 1.0)), ripple_db=float(abs(rng.normal(0, 0.5))),
                              ripple_cycles=float(rng.uniform(0.5, 4.0)), ripple_phase=float(rng.uniform(0, 2 * np.pi)))
    iq = channel.apply(source.iq)
    snr_db, extra_db = rng.uniform(0, 20), rng.uniform(0, 3)
    if source.label in ("GNSS", "noise"):
        added = float(np.mean(np.abs(iq) ** 2)) * (10.0 ** (extra_db / 10.0) - 1.0)
    else:
        added = augment.noise_for_snr(on_psd(source, iq, factor), snr_db)
    iq = iq + augment.white(rng, len(iq), added)
    return augment.quantise(iq, 8, float(rng.uniform(10, 20))), factor


def on_psd(source: Source, iq: np.ndarray, factor: float) -> np.ndarray:
    """Mean power spectrum of the stretches that hold the signal."""
    bins = augment.N_PSD
    starts = np.arange(0, len(iq) - bins + 1, bins)
    block = np.minimum(((starts + bins / 2) / factor / BLOCK).astype(int), len(source.on) - 1)
    chosen = starts[source.on[block]] if len(source.on) else starts
    chosen = (chosen if len(chosen) else starts)[:4096]
    return augment.mean_psd(np.concatenate([iq[s:s + bins] for s in chosen])) if len(chosen) else augment.mean_psd(iq)


def simulated_noise(condition: str, seed: int, engine: Engine) -> list[Judged]:
    """Recordings of white noise at usual rates, labelled with each band in turn; if equalised, through a filter and 8 bits."""
    out, layout = [], engine.layout
    for number in range(SIMULATED_NOISE):
        rng = np.random.default_rng((seed, 7919, number))
        rate = NOISE_RATES[number % len(NOISE_RATES)]
        iq = augment.white(rng, FEW_FRAMES * FULL_AVERAGE * layout.fft_size, 1.0)
        if condition == "equalised":
            channel = augment.Channel(edge=float(rng.uniform(0.85, 1.0)), rolloff=float(rng.uniform(0.05, 0.2)),
                                      stop_db=float(rng.uniform(10, 40)), tilt_db=float(rng.normal(0, 1.0)))
            iq = augment.quantise(channel.apply(iq), 8, float(rng.uniform(10, 20)))
        else:
            iq = augment.quantise(iq, 12, 15.0)
        frames = tokenize(iq, rate, fft_size=layout.fft_size, stride=layout.stride, average=FULL_AVERAGE,
                          window=engine.config.window)
        band = engine.bands[number % len(engine.bands)] if condition == "plain" else "unknown"
        out.append(Judged(f"simulated noise {number}", "noise", frames.items, band))
    return out


def summarise(rows: list[tuple[Judged, np.ndarray]], labels: list[str], seed: int) -> dict:
    """Counts from (judged, class probabilities (F, labels)) of each recording."""
    present = [c for c in CLASSES if any(j.label == c for j, _ in rows)]
    guesses = [p.argmax(axis=1) for _, p in rows]
    # per recording: frames right and judged; one that yields none is one wrong frame
    right = np.array([np.sum(g == labels.index(j.label)) for (j, _), g in zip(rows, guesses, strict=True)], float)
    total = np.array([max(1, len(g)) for g in guesses], float)
    whole = np.array([len(p) > 0 and p.mean(axis=0).argmax() == labels.index(j.label) for j, p in rows])
    of = np.array([present.index(j.label) for j, _ in rows])

    def balanced(chosen):
        recalls = [right[chosen][of[chosen] == c].sum() / total[chosen][of[chosen] == c].sum() for c in range(len(present))
                   if np.any(of[chosen] == c)]
        return float(np.mean(recalls))

    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(of == c) for c in range(len(present))]
    draws = [balanced(np.concatenate([rng.choice(b, len(b)) for b in by_class])) for _ in range(BOOTSTRAP)]
    confusion = {c: {} for c in present}
    for (j, _), g in zip(rows, guesses, strict=True):
        for k in g:
            confusion[j.label][labels[k]] = confusion[j.label].get(labels[k], 0) + 1
        if not len(g):
            confusion[j.label]["(none)"] = confusion[j.label].get("(none)", 0) + 1
    real = np.array([j.file == j.recording for j, _ in rows])  # not gaps, not simulated
    per_class = {c: {"recall": round(float(right[of == i].sum() / total[of == i].sum()), 4),
                     "n_frames": int(total[of == i].sum()), "recording_accuracy": round(float(whole[of == i].mean()), 4),
                     "n_recordings": int((of == i).sum())}
                 for i, c in enumerate(present)}
    return {"balanced_accuracy": round(balanced(np.arange(len(rows))), 4), "accuracy": round(float(right.sum() / total.sum()), 4),
            "recording_accuracy": round(float(whole[real].mean()), 4) if real.any() else None,
            "per_class": per_class, "confusion": confusion,
            "interval": [round(float(q), 4) for q in np.quantile(draws, [0.025, 0.975])],
            "n_frames": int(sum(len(g) for g in guesses)), "n_recordings": len({j.file for j, _ in rows if j.file}),
            "n_simulated_noise": sum(not j.file for j, _ in rows),
            "wrong": {j.recording: labels[int(p.mean(axis=0).argmax())] if len(p) else "(none)"
                      for (j, p), w in zip(rows, whole, strict=True) if not w}}
