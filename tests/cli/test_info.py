# SPDX-License-Identifier: GPL-3.0-or-later
"""`info` and `convert`: what a recording is and where each value comes from; the same samples as SigMF."""

import json

import numpy as np
import pytest

NAME = "gqrx_20230501_123015_433920000_2400000_fc.raw"


@pytest.fixture
def raw(noise, tmp_path):
    path = tmp_path / NAME
    path.write_bytes(noise(50_000).tobytes())
    return path


def test_info_of_raw_iq(call, raw, tmp_path):
    done = call("info", raw, "--freq", "100M", "--json", tmp_path / "i.json")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines()}
    assert done.stdout.startswith(f"{raw}: raw IQ\n")
    assert lines["rate"] == "2400000 Hz (name)" and lines["frequency"] == "100 MHz (stated)"
    assert lines["time"] == "2023-05-01T12:30:15.000000000Z (name)" and lines["type"] == "cf32_le (name)"
    assert lines["length"] == "50000 samples, 0.0208333 s" and lines["channels"].startswith("1 ")
    assert lines["level"].startswith("-37.0 dBFS; largest -") and "0 % at full scale" in done.stdout and "###" in done.stdout
    row, = json.loads((tmp_path / "i.json").read_text())["recordings"]
    assert row["origins"] == {"datatype": "name", "samp_rate": "name", "time": "name", "frequency": "stated",
                              "channels": "raw IQ"}
    assert (row["samp_rate"], row["freq_hz"], row["n_samples"]) == (2.4e6, 1e8, 50_000)
    assert row["levels"]["rms_dbfs"] == pytest.approx(-37, abs=0.1) and len(row["levels"]["shares"]) == 24


def test_info_of_what_is_not_known(call, the_line, tmp_path):
    (tmp_path / "x.cu8").write_bytes(np.full(2000, 255, np.uint8).tobytes())
    done = call("info", tmp_path / "x.cu8", "--json", tmp_path / "i.json")
    assert done.returncode == 0 and "100 % at full scale" in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines()[1:4]] == ["unknown"] * 3
    assert json.loads((tmp_path / "i.json").read_text())["recordings"][0]["samp_rate"] is None
    (tmp_path / "x.iq").write_bytes(bytes(80))
    assert "--format TYPE" in the_line(call("info", tmp_path / "x.iq"), 2)
    assert "no such recording" in the_line(call("info", tmp_path / "none"), 1)


def test_info_of_a_folder_with_a_bad_one(call, raw, write_sigmf, noise, tmp_path):
    hops = [{"core:sample_start": k * 1000, "core:frequency": 1e8 + k * 1e6} for k in range(10)]
    write_sigmf(tmp_path, "hops", noise(20_000), captures=hops)
    (tmp_path / "bad.sigmf-meta").write_text("{")
    done = call("info", tmp_path, "--no-levels", "--json", tmp_path / "i.json")
    assert done.returncode == 1 and "1 of 3 recordings cannot be read" in done.stderr and "bad.sigmf-meta" in done.stderr
    assert "capture   from sample 1000: 101 MHz, time unknown" in done.stdout and "and 2 more" in done.stdout
    result = json.loads((tmp_path / "i.json").read_text())
    assert [row["name"] for row in result["recordings"]] == [NAME.removesuffix(".raw"), "hops"] and len(result["errors"]) == 1
    assert result["recordings"][0]["levels"] is None


def test_convert(call, the_line, raw, tmp_path):
    done = call("convert", raw, tmp_path / "out", "--offset", "1M")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out.sigmf-meta'}: 50000 samples, 0.0208333 s, from raw IQ\n"
    assert "taken from the file's name" in done.stderr
    assert (tmp_path / "out.sigmf-data").read_bytes() == raw.read_bytes()
    capture, = json.loads((tmp_path / "out.sigmf-meta").read_text())["captures"]
    assert capture == {"core:sample_start": 0, "core:frequency": 434.92e6, "core:datetime": "2023-05-01T12:30:15.000000000Z"}
    assert "exists; name another, or --overwrite it" in the_line(call("convert", raw, tmp_path / "out"), 1)
    done = call("convert", raw, tmp_path / "out", "--overwrite", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (tmp_path / "x.iq").write_bytes(bytes(80))
    assert "--rate HZ, --format TYPE" in the_line(call("convert", tmp_path / "x.iq", tmp_path / "y"), 2)
