# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the tracker's motion field: tools/train_motion_field.py --flights FOLDER --out motion_field.json.

FOLDER holds the wheel of sample flights (`evaluate track` says how to get it). Only tuning flights are read, with a subset
of the airliners. Simulated circling gliders and surveys are added with a lower weight. The default IMM runs over
them with noise of 10 to 100 m. After each update, the network's inputs and the IMM's errors now and 1, 5, 10 and 30 s
ahead make a sample. Flights are also thinned and stretched, so that the network sees other steps and speeds. The loss has
two terms: the squared error over the IMM's mean squared error on that class and noise, and the likelihood of the errors
under the covariance. One block of rows in five is held out for the printed figures.
"""

import argparse
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from gnuradio.spectrumencoder.atomic_file import write_file
from gnuradio.spectrumencoder.evaluate.track.flights import TUNE, Flight, flights, smooth
from gnuradio.spectrumencoder.tracker.imm import Imm
from gnuradio.spectrumencoder.tracker.motion_field import (
    Past,
    frame_of,
    inputs,
    mirrored,
    no_past,
    ramp,
    remember,
)
from gnuradio.spectrumencoder.tracker.settings import SpatialSettings

HORIZONS_S = (0.0, 1.0, 5.0, 10.0, 30.0)
SIGMAS_M = (50, 10, 50, 20, 50, 10, 30, 100, 50, 15)  # noise of each pass, in turn
HORIZON_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 0.3)
SIMULATED_WEIGHT = 0.3
MAX_REPORTS, MIN_REPORTS = 300, 40  # reports in one run
AIRLINERS = 250
HIDDEN, LAST = 48, 16
BATCH, RATE, DECAY = 2048, 3e-3, 1e-5
SETTLED = 2  # updates before a sample counts


class Samples(NamedTuple):
    """x (n, F); off (n, H, 2), along and across, truth less the IMM's estimate, NaN if unknown; sigma (n, H) of the IMM; state
    (n, 3) its sigma of position, velocity, acceleration; evidence (n,); velocity_off (n, 2); group (n,) of class and noise; held
    (n,) back from training; simulated (n,)."""

    x: np.ndarray
    off: np.ndarray
    sigma: np.ndarray
    state: np.ndarray
    evidence: np.ndarray
    velocity_off: np.ndarray
    group: np.ndarray
    held: np.ndarray
    simulated: np.ndarray


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flights", type=Path, required=True, help="folder of the wheel")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", type=int, default=14, help="passes over the flights, each with other noise")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--airliners", type=int, default=AIRLINERS, help="number of tuning airliners to use")
    arguments = parser.parse_args()
    imm = SpatialSettings().horizontal_imm()
    samples = collect(imm, tuned_on(arguments.flights, arguments.airliners), arguments.variants)
    network = train(samples, arguments.epochs)
    content = {name: np.round(weights.detach().numpy().astype(float), 6).tolist() for name, weights in network.named_parameters()}
    write_file(arguments.out, json.dumps(content | {"n_models": len(imm.models)}).encode())


# Flights


def tuned_on(folder: Path, n_airliners: int) -> list[Flight]:
    every = flights(folder, TUNE)
    airliners = [f for f in every if f.flight_class == "airliner"]
    return [f for f in every if f.flight_class != "airliner"] + airliners[::max(1, len(airliners) // n_airliners)]


def circling(seed: int) -> Flight:
    """A glider at 8 s a report: circles of 20 to 32 s, and straight between thermals."""
    rng = np.random.default_rng(seed)
    return simulated("sim circling", seed, rng, rng.choice([7.0, 8.0, 9.0], 100), rng.uniform(25, 35), rng.normal(0, 5, 2),
                     lambda: (rng.uniform(60, 400), rng.choice([-1, 1]) * 2 * np.pi / rng.uniform(20, 32)
                              if rng.random() < 0.6 else rng.normal(0, 0.01)))


def lawn_mower(seed: int) -> Flight:
    """A survey at 10 s a report: straight lines and half turns, left and right in turn."""
    rng = np.random.default_rng(1000 + seed)
    legs = []

    def leg():
        legs.append(1)
        if len(legs) % 2:
            return rng.uniform(120, 400), 0.0
        rate = rng.uniform(0.02, 0.05)
        return np.pi / rate, rate * (1 if len(legs) % 4 else -1)
    return simulated("sim survey", seed, rng, rng.choice([9.0, 10.0, 11.0], 120), rng.uniform(60, 110), np.zeros(2), leg)


def simulated(flight_class, seed, rng, steps, speed, wind, leg) -> Flight:
    """A flight of legs (duration s, turn rate rad/s) in the wind, as noisy and as smoothed as the real ones."""
    time_s, dt = np.cumsum(steps), 0.25
    fine = np.arange(time_s[0] - 2, time_s[-1] + 20, dt)
    rate, at = np.zeros(len(fine)), 0
    while at < len(fine):
        duration, turn = leg()
        rate[at:at + int(duration / dt)] = turn
        at += max(1, int(duration / dt))
    heading = np.cumsum(rate) * dt
    path = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1) * speed * dt, axis=0) + np.outer(fine - fine[0], wind)
    exact = np.stack([np.interp(time_s, fine, path[:, 0]), np.interp(time_s, fine, path[:, 1]), np.zeros(len(time_s))], axis=1)
    position = exact + rng.normal(0, 15, exact.shape)
    return Flight(f"{flight_class} {seed}", flight_class, TUNE, (0.0, 0.0, 0.0), time_s, position, *smooth(time_s, position))


def varied(flight: Flight, rng) -> Flight:
    """Every k-th point of a flight, stretched."""
    step = np.median(np.diff(flight.time_s))
    k = rng.choice([1, 1, 2, 4, 8] if step < 2 else [1, 1, 2] if step < 7 else [1])
    scale = float(np.exp(rng.uniform(-0.5, 0.5)))
    return replace(flight, name=f"{flight.name}*{k} {scale:.2f}", time_s=flight.time_s[::k],
                   **{name: getattr(flight, name)[::k] * scale for name in ("position_m", "truth_m", "velocity_mps")})


# Samples


def collect(imm: Imm, real: list[Flight], variants: int) -> Samples:
    rng, parts, groups = np.random.default_rng(0), [], {}
    pretended = [make(100 + k) for make in (circling, lawn_mower) for k in range(10)]
    for number in range(variants):
        chosen = real if number < 4 else [varied(f, rng) for f in real]
        chosen = chosen + (pretended if number % 2 else [])
        sigma_m = SIGMAS_M[number % len(SIGMAS_M)]
        parts.append(run(imm, chosen, sigma_m, number, groups))
        print(f"pass {number + 1} of {variants}: {sigma_m} m, {len(parts[-1].x)} samples", flush=True)
    return Samples(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def run(imm: Imm, chosen: list[Flight], sigma_m: float, seed: int, groups: dict) -> Samples:
    """The IMM over all pieces of the flights at once, the longest first: those still running are a head of the bank."""
    pieces = [(f, slice(at, at + MAX_REPORTS)) for f in chosen for at in range(0, len(f.time_s), MAX_REPORTS)]
    pieces = sorted(((f, s) for f, s in pieces if len(f.time_s[s]) >= MIN_REPORTS), key=lambda p: -len(p[0].time_s[p[1]]))
    length = np.array([len(f.time_s[s]) for f, s in pieces])
    noisy = {f.name: f.noisy(sigma_m, seed) for f, _ in pieces}
    group = np.array([groups.setdefault((f.flight_class, sigma_m), len(groups)) for f, _ in pieces])
    held = np.array([zlib.crc32(f"{f.name.split('*')[0]} {s.start}".encode()) % 5 == 0 for f, s in pieces])

    def at(k, rows, values):
        return np.array([values(f, s.start + k) for f, s in pieces[:rows]])

    pretended = np.array([f.flight_class.startswith("sim ") for f, _ in pieces])
    noise = np.tile(np.eye(2) * sigma_m**2, (len(pieces), 1, 1))
    bank = imm.start(at(0, len(pieces), lambda f, i: noisy[f.name][i, :2]), noise)
    past, rows = no_past(len(pieces), len(imm.models)), []
    for k in range(1, length[0]):
        n = int((length > k).sum())
        head = np.arange(n)
        bank, past = bank.take(head), past.take(head)
        dt = at(k, n, lambda f, i: f.time_s[i] - f.time_s[i - 1])
        bank, innovation = imm.update(imm.predict(bank, dt), at(k, n, lambda f, i: noisy[f.name][i, :2]), noise[:n])
        mean, covariance = imm.combined(bank)
        past = remember(past, innovation, dt, bank.probability, mean[:, 2:4])
        if k >= SETTLED:
            truth = np.array([f.truth_at(f.time_s[s.start + k] + np.array(HORIZONS_S))[:, :2] for f, s in pieces[:n]])
            velocity = at(k, n, lambda f, i: f.velocity_mps[i, :2])
            rows.append(sample(imm, bank, mean, covariance, past, truth, velocity, group[:n], held[:n], pretended[:n]))
    return Samples(*(np.concatenate(part) for part in zip(*rows, strict=True)))


def sample(imm, bank, mean, covariance, past: Past, truth, velocity, *labels) -> Samples:
    frame = frame_of(mean, covariance, past)
    off, sigma, ahead, at = [], [], bank, 0.0
    for number, horizon in enumerate(HORIZONS_S):
        ahead = imm.predict(ahead, np.full(len(mean), horizon - at))
        at = horizon
        there, spread = imm.combined(ahead)
        off.append(frame.to_track(truth[:, number] - there[:, :2]))
        sigma.append(np.sqrt(np.einsum("tii->t", spread[:, :2, :2]) / 2))
    return Samples(inputs(mean, bank.probability, frame, past), np.stack(off, 1), np.stack(sigma, 1), frame.sigma, frame.evidence,
                   frame.to_track(velocity - mean[:, 2:4]), *labels)


# Training


class Network(torch.nn.Module):
    """The same computation as ``MotionField``."""

    def __init__(self, n_inputs: int):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = torch.nn.Parameter(torch.randn(n_inputs, HIDDEN, generator=generator) / n_inputs**0.5)
        self.second = torch.nn.Parameter(torch.randn(HIDDEN, LAST, generator=generator) / HIDDEN**0.5)
        self.last = torch.nn.Parameter(torch.zeros(LAST, 6))
        self.spread = torch.nn.Parameter(torch.zeros(LAST, 2))
        self.mirror = torch.tensor(mirrored(n_inputs), dtype=torch.float32)

    def forward(self, x, state, evidence):
        """Motion (n, 3, 2) along and across, and spread (n, 2)."""
        one, other = (torch.tanh(torch.tanh(v @ self.first) @ self.second) for v in (x, x * self.mirror))
        motion = ((one @ self.last).view(-1, 3, 2) + (other @ self.last).view(-1, 3, 2) * torch.tensor([1.0, -1.0])) / 2
        return motion * state[:, :, None] * evidence[:, None, None], (one + other) / 2 @ self.spread * evidence[:, None]


def train(samples: Samples, epochs: int) -> Network:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    known = torch.tensor(np.isfinite(samples.off).all(axis=2))
    part = Samples(*(torch.tensor(np.nan_to_num(p), dtype=torch.float32) for p in samples[:6]), torch.tensor(samples.group),
                   torch.tensor(samples.held), samples.simulated)
    n_groups = int(part.group.max()) + 1
    before = (part.off**2).sum(-1) * known
    mean = torch.stack([before[part.group == g].sum(0) / known[part.group == g].sum(0).clamp(min=1) for g in range(n_groups)])
    weight = group_weights(part.group, n_groups, samples)
    network = Network(part.x.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    rows, kept = torch.nonzero(~part.held)[:, 0], torch.nonzero(part.held)[:, 0]
    for epoch in range(epochs):
        for batch in rows[torch.randperm(len(rows))].split(BATCH):
            loss = (losses(network, part, known, mean, batch)[0] * weight[batch]).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            squared = losses(network, part, known, mean, kept)[1]
        ratio = (squared.sum(0) / before[kept].sum(0)).sqrt().numpy()
        print(f"epoch {epoch + 1}: RMSE over the IMM's, held back, at {HORIZONS_S} s: {np.round(ratio, 3)}", flush=True)
    return network


def group_weights(group, n_groups, samples):
    """Each class and noise counts the same, simulated ones less; (n,), 1 on average."""
    share = torch.bincount(group, minlength=n_groups).float()
    weight = 1 / share[group]
    weight = torch.where(torch.tensor(samples.simulated), SIMULATED_WEIGHT, 1.0) * weight
    return weight / weight.mean()


def losses(network, part, known, mean, rows):
    """Loss (n,) and squared errors (n, H) of some samples."""
    motion, spread = network(part.x[rows], part.state[rows], part.evidence[rows])
    shape = torch.tensor(ramp(np.array(HORIZONS_S)), dtype=torch.float32)  # (H, 3)
    squared = ((part.off[rows] - torch.einsum("hi,nid->nhd", shape, motion))**2).sum(-1) * known[rows]
    relative = (squared / mean[part.group[rows]]).clamp(max=200) @ torch.tensor(HORIZON_WEIGHTS)
    velocity = ((part.velocity_off[rows] - motion[:, 1])**2).sum(-1) / (2 * part.state[rows, 1]**2)
    factor = spread[:, :1] + spread[:, 1:] * torch.log1p(torch.tensor(HORIZONS_S))
    standard = (squared.detach() / (2 * part.sigma[rows]**2)).clamp(max=50)
    likelihood = ((standard * torch.exp(-factor) + factor) * known[rows]).sum(1)
    return relative + 0.1 * velocity.clamp(max=50) + 0.2 * likelihood, squared


if __name__ == "__main__":
    main()
