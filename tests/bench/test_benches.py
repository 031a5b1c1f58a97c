# SPDX-License-Identifier: GPL-3.0-or-later
"""Each bench at its smallest: what it measures is there and is a time, a rate or a size. No speed is asserted."""

import json
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.bench import (
    band,
    busy,
    child,
    detection,
    energy,
    engines,
    latency,
    long_spectra,
    memory,
    meters,
    pipeline,
    recordings,
    reference,
    roofline,
    tables,
    throughput,
    token_head,
    tokenizer,
)
from gnuradio.spectrumencoder.bench.rounds import BUSY, QUIET
from gnuradio.spectrumencoder.encoder.attention import flash

STATISTICS = {"p50_ms", "p90_ms", "p99_ms", "max_ms", "first_p50_ms", "warm_p99_ms", "cpu_p50_ms", "calls", "per_s"}
MACHINE = {"cpu", "cpu_flags", "cores", "python", "torch", "numpy", "gnuradio", "volk_machine", "fftw", "commit", "load_at_start",
           "date"}


def checked(result: dict, bench: str) -> dict:
    """The result as its JSON holds it; its head must be whole and no number infinite."""
    assert result["bench"] == bench
    assert set(result["machine"]) >= MACHINE
    return json.loads(json.dumps(result, allow_nan=False))


def assert_statistics(row: dict):
    assert set(row) >= STATISTICS
    assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]


def assert_interval(value: dict):
    assert 0 < value["low"] <= value["median"] <= value["high"]


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


def test_latency_has_every_model_rate_and_padding_beside_the_reference():
    result = checked(latency.latency(("fast",), sizes=latency.QUICK, busy_neighbour=True), "latency")
    arms = {(a["dropout_rate"], a["pad_batch"]) for name, a in result["arms"].items() if name != "reference"}
    assert arms == {(0.25, 0), (0.25, 4), (0.25, 16), (0.0, 0), (0.5, 0), (0.75, 0)}
    assert {a["runtime"] for n, a in result["arms"].items() if n != "reference"} <= set(engines.ARMS)
    assert set(result["times"]["1"]) == {QUIET, BUSY}
    for condition in result["times"]["1"].values():
        assert set(condition) == set(result["arms"])
        for name, row in condition.items():
            assert_statistics(row)
            if name != "reference":
                assert_interval(row["speed_up"]["wall"])
                assert_interval(row["speed_up"]["cpu"])
    chosen = result["reference"]["1"]
    assert chosen["fast_path"] == (chosen["median_ms"]["fast path"] <= chosen["median_ms"]["plain"])


def test_long_spectra_have_every_backend():
    result = checked(long_spectra.long_spectra((96, 128), sizes=latency.QUICK), "latency_tokens")
    for count in ("96", "128"):
        arms = {f"{backend} {runtime}" for backend in long_spectra.BACKENDS for runtime in engines.ARMS}
        assert set(result["times"]["1"][count][QUIET]) == arms | {"reference"}
        assert result["mflop"][count]["reference"] == reference.mflop(int(count))


def test_throughput_has_rates_the_roofline_and_capacity():
    result = checked(throughput.throughput(("fast",), sizes=throughput.QUICK, quick=True), "throughput")
    peaks = result["roofline"]["1"]
    assert peaks["fp32_peak"] == max(peaks["gemm"]["fp32"]["peak"], peaks["gemm"]["kernel"]["peak"])
    assert min(*(kind["peak"] for kind in peaks["gemm"].values()), *peaks["memory"].values()) > 0
    for batch, arms in result["times"]["1"].items():
        for name, row in arms[QUIET].items():
            assert row["batch"] == (min(int(batch), throughput.QUICK.reference_batch) if name == "reference" else int(batch))
            assert row["gflop_s"] == pytest.approx(1e-3 * result["mflop"][name] * row["per_s"])
            assert row["share_of_fp32_peak"] == pytest.approx(row["gflop_s"] / peaks["fp32_peak"])
    capacity = result["capacity"]
    frames_per_s = capacity["settings"]["frames_per_s_of_a_band"]
    assert frames_per_s == band.BAND_HZ / (throughput.QUICK.capacity.average * 1024)
    assert set(capacity["stages"]) >= {"tokenizer", "detector", "reference"}
    for value in [*capacity["bands_per_core"].values(), *capacity["over_reference"].values()]:
        assert_interval(value)
    assert all(min(rates["1"].values()) > 0 for rates in capacity["scaling"].values())


def test_formats_of_recordings_are_read_beside_sigmf():
    result = checked(recordings.recordings(sizes=recordings.Sizes(2, 0.1, (4096, 1 << 17))), "recordings")
    assert [row["block"] for row in result["rows"]] == [4096, 1 << 17]
    for row in result["rows"]:
        assert {recordings.SIGMF, recordings.WAV} <= set(row["formats"])
        for name, figures in row["formats"].items():
            assert figures["ms_s"] > 0 and figures["ms_per_cpu_s"] > 0
            if name != recordings.SIGMF:
                assert_interval(figures["speed"]["wall"])
                assert_interval(figures["speed"]["cpu"])
    assert len(tables.tables(result)[0].rows) == sum(len(row["formats"]) for row in result["rows"])


def test_token_classes_are_timed_beside_the_same_frames_without():
    result = checked(token_head.token_head(("fast",), sizes=token_head.QUICK), "token_head")
    assert {(r["runtime"], r["dtype"]) for r in result["rows"]} >= {("native", "fp32"), ("torch", "fp32")}
    for row in result["rows"]:
        assert set(row["times"]) == {token_head.WITHOUT, token_head.WITH}
        for statistics in row["times"].values():
            assert_statistics(statistics)
        assert_interval(row["cost"]["wall"])
        assert_interval(row["cost"]["cpu"])
    assert len(tables.tables(result)[0].rows) == len(result["rows"])


def test_a_model_with_a_random_token_head_gives_token_classes():
    file = engines.open_model("fast")
    with_head = file if file.has_token_classes else token_head.with_random_head(file)
    engine = engines.make_engine(with_head, "native")
    classes = engine.encode(engines.noise_frames(2, engine.layout), token_classes=True).token_classes.reshape(2, 128, 12)
    np.testing.assert_allclose(classes[..., :-1].sum(axis=2), 1, atol=1e-5)
    assert classes.std(axis=(0, 1)).min() > 0


def test_the_tokenizer_runs_beside_gnu_radios_own_chains():
    result = checked(tokenizer.tokenizer(sizes=tokenizer.Sizes(2, (256,), (4,), 0.5)), "tokenizer")
    pinned, free = result["rows"]
    assert (pinned["condition"], free["condition"]) == (tokenizer.PINNED, tokenizer.FREE)
    assert set(pinned["chains"]) == set(result["chains"]) == {*free["chains"], tokenizer.FUNCTION}
    for name, row in pinned["chains"].items():
        assert min(row["ms_s"], row["ms_per_cpu_s"]) > 0
        if name != "fft_tokenizer":
            assert_interval(row["ours_over"]["wall"])


def test_the_pipeline_goes_from_iq_to_events_with_its_threads():
    result = checked(pipeline.pipeline(("fast",), sizes=pipeline.Sizes(0.3, 1, (4,))), "pipeline")
    for row in result["rows"]:
        assert row["frames"] >= 4 and row["ms_s"] > 0 and row["cpu_ms_per_frame"] > 0
        assert all(share > 0 for share in row["threads"].values())


def test_by_the_clock_it_counts_what_is_late():
    result = checked(pipeline.paced(("fast",), rate=5e5, seconds=1.5, averages=(4,)), "pipeline_paced")
    for row in result["rows"]:
        assert row["frames"] > 0 and 0 <= row["skipped"] <= row["frames"] and 0 <= row["lost_share"] < 1
        assert 0 <= row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]


def test_the_detector_alone_and_in_batches():
    result = checked(detection.detection("fast", sizes=detection.QUICK), "detector")
    for row in result["times"][QUIET].values():
        assert_statistics(row)


def test_peak_memory_is_of_a_process_of_its_own():
    held = np.ones(1 << 26)  # 512 MiB here must not count there
    row = child.call("memory", "peak", batch=2, backend="latent", tokens=96)
    assert row["peak_mb"] >= row["imported_mb"] > 0 and row["peak_mb"] < held.nbytes / 1e6 + 200
    assert row["over_mb"] == pytest.approx(row["peak_mb"] - row["imported_mb"])


def test_bytes_of_keys_and_values_follow_from_the_shapes():
    config = engines.open_model("base").contract["encoder"]
    sequence = 128 + 1  # all kept: the conditioning token besides
    whole = 2 * sequence * config["width"] * 4
    found = {backend: memory.keys_and_values(backend, 128) for backend in long_spectra.BACKENDS}
    assert found["flash"] == {"inputs": whole, "kernel": whole}
    shared = whole * config["kv_heads"] // config["heads"]
    assert found["grouped"] == {"inputs": shared, "kernel": shared if flash.shares_heads(torch.device("cpu")) else whole}
    assert found["latent"] == {"inputs": sequence * config["kv_rank"] * 4, "kernel": whole}
    assert found["linear"] == found["mhla"] == {"inputs": whole, "kernel": None}


def test_energy_is_called_an_estimate_where_there_is_no_meter(monkeypatch, tmp_path):
    monkeypatch.setattr(energy, "find_meter", lambda device, watts: meters.find_meter(device, watts, tmp_path))
    result = checked(energy.energy(("fast",), sizes=energy.Sizes(2, 0.05, (1,)), watts_per_core=7.0), "energy")
    assert result["measured"] is False and "7 W" in result["meter"] and result["rest_w"] is None
    for name, row in result["rows"]["1"].items():
        assert row["net_mj"] is None
        assert_interval(row["mj_per_spectrum"])
        assert ("reference_over" in row) == (name != "reference")


def test_the_reference_is_the_network_it_says():
    network = reference.Reference()
    attention, feed_forward, norms = 4 * 512 * 513, 2048 * 513 + 512 * 2049, 2 * 2 * 512
    assert sum(p.numel() for p in network.blocks.parameters()) == 6 * (attention + feed_forward + norms)
    assert reference.mflop() == pytest.approx(5036, rel=1e-3)
    tokens = torch.randn(2, 128, 10)
    outputs = []
    for fast_path in (True, False):
        network.fast_path = fast_path
        outputs.append(network(tokens))
    assert outputs[0].shape == tokens.shape and torch.backends.mha.get_fastpath_enabled()
    assert torch.allclose(*outputs, atol=1e-4)


def test_frames_of_noise_look_like_those_of_the_tokenizer():
    from gnuradio.spectrumencoder.tokens.tokenize import tokenize
    rng = np.random.default_rng(0)
    iq = (1e-3 * rng.standard_normal(2 * 64 * 16384, np.float32)).view(np.complex64)
    real = tokenize(iq, 2.4e6, window="rectangular", flush=False)
    drawn = engines.noise_frames(64)
    assert drawn.shape == real.items.shape and drawn.dtype == real.items.dtype
    for ours, theirs in zip(real.layout.split(drawn), real.layout.split(real.items), strict=True):
        assert np.allclose(ours.mean(axis=0)[..., -1].mean(), theirs.mean(axis=0)[..., -1].mean(), rtol=0.05)
    level = [real.layout.split(x)[0].mean(axis=(0, 1)) for x in (drawn, real.items)]
    assert np.allclose(level[0], level[1], atol=0.4)


def test_a_child_that_fails_says_why():
    with pytest.raises(child.ChildError, match="no model"):
        child.call("memory", "peak", batch=1, model="absent")


def test_the_neighbour_is_stopped_between_and_gone_afterwards():
    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    with busy.conditions(True) as (names, enter):
        assert names == (QUIET, BUSY)
        (pid,) = [int(p) for p in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
                  if "busy" in Path(f"/proc/{p}/cmdline").read_text()]
        enter(BUSY)
        assert state(pid) in "RS"
        enter(QUIET)
        for _ in range(1000):
            if state(pid) == "T":
                break
            time.sleep(0.005)
        assert state(pid) == "T"
    assert not Path(f"/proc/{pid}").exists()


def test_the_roofline_is_finite():
    result = roofline.roofline(1, quick=True)
    assert all(math.isfinite(v) and v > 0 for v in result["memory"].values())
