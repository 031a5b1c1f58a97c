# SPDX-License-Identifier: GPL-3.0-or-later
"""`spectrumencoder bench ...`: tables, JSON and the page, each at its smallest; no speed is asserted."""

import json

import pytest

QUICK = {
    "latency": ("latency", "--model", "fast", "--busy-neighbour"),
    "latency_tokens": ("latency", "--tokens", "96,128"),
    "throughput": ("throughput", "--model", "fast"),
    "tokenizer": ("tokenizer", "--fft-size", "256"),
    "pipeline": ("pipeline", "--model", "fast", "--average", "4"),
    "pipeline_paced": ("pipeline", "--model", "fast", "--average", "4", "--rate", "5e5", "--seconds", "1"),
    "detector": ("detector", "--model", "fast"),
    "energy": ("energy", "--model", "fast", "--watts-per-core", "5"),
    "memory": ("memory", "--model", "fast"),
    "hub": ("hub",),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("benches")


@pytest.fixture
def results(folder) -> dict[str, dict]:
    """What the tests of the benches, before, have written."""
    read = {path.stem.removeprefix("bench_"): json.loads(path.read_text()) for path in folder.glob("bench_*.json")}
    if set(read) != set(QUICK):
        pytest.skip("not all benches have run in this session")
    return read


@pytest.mark.parametrize("bench", QUICK)
def test_a_bench_prints_a_table_and_writes_its_json(bench, call, folder):
    path = folder / f"bench_{bench}.json"
    done = call("bench", *QUICK[bench], "--quick", "--json", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    result = json.loads(path.read_text())
    assert result["bench"] == bench and result["machine"]["cpu"]
    assert result["command"] == " ".join(["spectrumencoder", "bench", *QUICK[bench], "--quick", "--json", str(path)])


def test_memory_has_each_model_backend_and_the_reference(results):
    result = results["memory"]
    names = set(result["processes"]) | set(result["unavailable"])
    assert names >= {"fast torch", "reference", "latent, 128 tokens"}
    assert all(row["peak_mb"] >= row["imported_mb"] > 0 for row in result["processes"].values())


def test_the_page_has_a_section_for_each_and_its_pictures(call, folder, results):
    done = call("bench", "report", "--json-dir", folder, "--out", folder / "performance.md")
    assert done.returncode == 0, done.stderr
    text = (folder / "performance.md").read_text()
    for title in ("Latency of one spectrum", "Longer spectra", "Throughput and capacity", "Tokenizer", "IQ to events",
                  "At a radio's pace", "Detector", "Energy of a spectrum", "Memory", "Scaling"):
        assert f"## {title}\n" in text
    assert all(result["command"] in text.replace(" \\\n    ", " ") for result in results.values())
    assert results["energy"]["measured"] or "**An estimate**" in text
    for name in ("latency", "throughput", "tokenizer", "pipeline", "scaling"):
        assert f"(performance_{name}.png)" in text
        assert (folder / f"performance_{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("arguments, words", [
    (("latency", "--tokens", "100"), "--tokens 100 are not multiples of 32"),
    (("latency", "--tokens", "128", "--model", "fast"), "leave out --model"),
    (("energy", "--compute", "tpu"), "--compute tpu is neither"),
    (("pipeline", "--rate", "-1"), "--rate -1 is not"),
])
def test_options_that_make_no_sense(call, the_line, arguments, words):
    assert words in the_line(call("bench", *arguments), 2)


def test_an_empty_folder_has_no_page(call, the_line, tmp_path):
    assert "holds no bench_*.json" in the_line(call("bench", "report", "--json-dir", tmp_path, "--out", tmp_path / "p.md"), 1)
