# SPDX-License-Identifier: GPL-3.0-or-later
"""Flights out of a wheel that the test writes itself: reading, jumps, gaps, the smoother, the split, the cache."""

import gzip
import json
import zipfile

import numpy as np
import pytest
from gnuradio.spectrumencoder.evaluate.track import flights as track_data
from gnuradio.spectrumencoder.evaluate.track.flights import Samples, TrackDataError, flights, pieces, read_samples, smooth
from gnuradio.spectrumencoder.tracker.geo import Origin


def rows(aircraft: str, n: int = 120, step: float = 5.0, speed_deg: float = 0.001, start: float = 1.6e9) -> list[dict]:
    return [{"timestamp": int(1e3 * (start + k * step)), "icao24": aircraft, "latitude": 47.0 + speed_deg * k,
             "longitude": 8.0 + 0.3 * speed_deg * k, "altitude": 10_000 + 10 * k, "groundspeed": 100.0} for k in range(n)]


def wheel(folder, contents: dict):
    with zipfile.ZipFile(folder / track_data.WHEEL, "w") as archive:
        for name, content in contents.items():
            archive.writestr(f"traffic/data/samples/{name}.json.gz", gzip.compress(json.dumps(content).encode()))
    return folder / track_data.WHEEL


def test_records_and_columns_are_read_alike(tmp_path):
    records = rows("a1") + rows("b2", n=70)
    records[5] = records[5] | {"latitude": None}
    columns = {c: {str(k): r[c] for k, r in enumerate(records)} for c in records[0]}
    path = wheel(tmp_path, {"gliders/one": records, "noisy/two": columns})
    for name in ("gliders/one", "noisy/two"):
        first, second = read_samples(path, name)
        assert (first.aircraft, len(first.time_s), second.aircraft, len(second.time_s)) == ("a1", 119, "b2", 70)
        assert first.time_s[0] == 1.6e9 and first.altitude_m[0] == pytest.approx(3048.0)
    assert track_data.files(path, "noisy/") == ["noisy/two"]


def test_flights_are_split_and_kept(tmp_path):
    swiss = [r for k in range(40) for r in rows(f"{k:06x}")]
    path = wheel(tmp_path, {"calibration/munich": rows("m1"), "calibration/nice": rows("n1"), "collections/switzerland": swiss,
                            "noisy/unused": rows("u1")})
    made = flights(tmp_path)
    assert [f.split for f in made if "calibration" in f.name] == ["tune", "judge"]
    assert not any("unused" in f.name for f in made)
    halves = [f.split for f in made if "switzerland" in f.name]
    assert len(halves) == 40 and 8 < halves.count("tune") < 32
    cache = tmp_path / "track_flights.npz"
    written = cache.stat().st_mtime_ns
    again = flights(tmp_path, "judge")
    assert cache.stat().st_mtime_ns == written and [f.name for f in again] == [f.name for f in made if f.split == "judge"]
    np.testing.assert_array_equal(again[0].truth_m, next(f for f in made if f.split == "judge").truth_m)
    cache.write_bytes(b"no cache")
    assert len(flights(tmp_path)) == len(made)
    path.unlink()
    with pytest.raises(TrackDataError, match="pip download --no-deps traffic==2.13"):
        flights(tmp_path)


def test_broken_wheel_and_unknown_file_are_one_line(tmp_path):
    path = wheel(tmp_path, {"gliders/one": [{"latitude": "north"}]})
    for name in ("gliders/one", "gliders/none"):
        with pytest.raises(TrackDataError, match="cannot read gliders/") as error:
            read_samples(path, name)
        assert "\n" not in str(error.value)
    path.write_bytes(b"half a wheel")
    with pytest.raises(TrackDataError, match="not a whole wheel"):
        flights(tmp_path)


def test_jumps_are_taken_out_and_gaps_split():
    n = 300
    time_s = np.arange(n) * 5.0
    time_s[200:] += 300.0
    latitude, longitude = 47.0 + 1e-3 * np.arange(n), np.full(n, 8.0)
    latitude[50] += 0.2  # 22 km, for one sample
    latitude[100:102] += 0.01  # 1.1 km, for two: slow enough, but off the path
    made = pieces(Samples("a1", time_s, latitude, longitude, np.full(n, np.nan)), "file", "glider", "judge")
    assert [len(f.time_s) for f in made] == [197, 100]
    assert np.linalg.norm(made[0].truth_m - made[0].position_m, axis=1).max() < 60


def test_smoother_is_the_rts_of_the_textbook():
    """The two recursions, started with hardly any prior."""
    rng = np.random.default_rng(1)
    time_s = np.cumsum(rng.uniform(0.5, 9.0, 80))
    measured = np.cumsum(rng.standard_normal((80, 2)), axis=0) * 100
    q, sigma = 3.0, 40.0
    x, P, steps = np.zeros((2, 2)), np.diag([1e12, 1e8]), []
    for k, z in enumerate(measured):
        T = time_s[k] - time_s[k - 1] if k else 0.0
        F, Q = np.array([[1, T], [0, 1]]), q * np.array([[T**3 / 3, T**2 / 2], [T**2 / 2, T]])
        before, P_before = F @ x, F @ P @ F.T + Q
        gain = P_before[:, :1] / (P_before[0, 0] + sigma**2)
        x, P = before + gain @ (z - before[0])[None], P_before - gain @ P_before[:1]
        steps.append((x, P, before, P_before, F))
    smoothed = [steps[-1][0]]
    for (x, P, *_), (_, _, before, P_before, F) in zip(steps[-2::-1], steps[:0:-1], strict=True):
        smoothed.append(x + P @ F.T @ np.linalg.inv(P_before) @ (smoothed[-1] - before))
    position, velocity = smooth(time_s, measured, q, sigma)
    np.testing.assert_allclose(position, np.array(smoothed[::-1])[:, 0], rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(velocity, np.array(smoothed[::-1])[:, 1], rtol=1e-5, atol=1e-2)


def test_truth_between_points_noise_and_another_origin():
    time_s = np.arange(100) * 4.0
    path = np.stack([80.0 * time_s, 300 * np.sin(time_s / 40), 0 * time_s], axis=1)
    truth, velocity = smooth(time_s, path, sigma_m=1.0)
    flight = track_data.Flight("f", "glider", "judge", Origin(47.0, 8.0), time_s, path, truth, velocity)
    np.testing.assert_allclose(flight.truth_at(time_s), truth, atol=1e-9)
    between = flight.truth_at(np.array([50.0, 399.0]))
    assert between[0] == pytest.approx([4000.0, 300 * np.sin(50 / 40), 0], abs=3) and np.isnan(between[1]).all()
    noise = flight.noisy(50.0, seed=3) - truth
    assert 45 < noise.std() < 55 and abs(noise.mean()) < 10
    np.testing.assert_array_equal(flight.noisy(50.0, seed=3), flight.noisy(50.0, seed=3))
    assert np.any(flight.noisy(50.0, seed=4) != flight.noisy(50.0, seed=3))
    elsewhere = track_data.seen_from(flight, Origin(47.0, 8.05))
    shift = elsewhere.truth_m - truth
    assert np.median(shift[:, 0]) == pytest.approx(-3802, abs=3) and np.ptp(shift[:, 0]) < 1 and np.abs(shift[:, 2]).max() < 1e-3
    np.testing.assert_allclose(elsewhere.velocity_mps, velocity, atol=0.1)
