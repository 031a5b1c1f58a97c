# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that no radio and no day has are refused at once, with their range; a closed or dead standard output stops nothing."""

import json
import os
import subprocess
import sys

import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.cli.options import forgotten_mega
from gnuradio.spectrumencoder.scan.scan_plan import ScanPlan, parse_ranges

RADIO = ["run", "soapy:driver=spectrumtest", "--freq", "434e6", "--rate", "1e6", "-q"]


@pytest.mark.parametrize(("options", "said"), [
    (["--duration", "1e12"], "--duration 1e+12 is outside 0..3.16224e+07 s"),
    (["--duration", "inf"], "--duration inf is outside"),
    (["--duration", "nan"], "--duration nan is outside"), (["--silence", "1e300"], "--silence 1e+300 is outside"),
    (["--ppm", "1e300"], "--ppm 1e+300 is outside -1000..1000 ppm"), (["--ppm", "nan"], "--ppm nan is outside"),
    (["--gain", "nan"], "--gain nan is outside"), (["--freq", "1e300"], "1e300 is outside -1e+12..1e+12 Hz"),
    (["--freq", "2000G"], "2000G is outside"), (["--rate", "1e-3"], "1e-3 is outside 1..1e+12 samples per second"),
    (["--rate", "1e300"], "1e300 is outside"), (["--offset", "-1e13"], "-1e13 is outside")])
def test_of_a_radio(capfd, options, said):
    status, errors = main([*RADIO, *options]), capfd.readouterr().err
    assert status == 2 and errors.startswith("error: ") and len(errors.splitlines()) == 1 and said in " ".join(errors.split())


@pytest.mark.parametrize(("ranges", "said"), [("1e300:2e300", "is not LOW:HIGH in Hz up to 1e+12"), ("1:1T", "is not LOW:HIGH"),
                                              ("1M:9000G", "is not LOW:HIGH"),
                                              ("88:108", "88:108 is 88 to 108 Hz; did you mean 88M:108M?"),
                                              ("1:1e12", "bins of"), ("nan:1e9", "is not LOW:HIGH")])
def test_of_a_scan(capfd, ranges, said):
    options = ["run", "soapy:driver=spectrumtest", "--rate", "48e3", "--scan", ranges, "-q"]
    assert main(options) == 2 and said in (errors := capfd.readouterr().err) and len(errors.splitlines()) == 1
    assert ScanPlan(parse_ranges("1e6:6e9"), 2.4e6, 1024).n_hops > 1000  # all that radios can do is possible


def test_ranges_with_a_unit_are_meant_so():
    assert forgotten_mega("5k:9k") == forgotten_mega("88M:108M") == "" and "88M:108M?" in forgotten_mega("5k:9k,88:108")


def test_a_folder_without_room_for_a_home(demo_scene):
    done = subprocess.run([os.path.join(os.path.dirname(sys.executable), "spectrumencoder"), "run", demo_scene, "-q"],
                          capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "HOME": "/nonexistent"})
    assert done.returncode == 0 and not done.stderr


@pytest.mark.parametrize("shell", ["{} >&-", "{} | true", "({} 2>&1) | true"])
def test_nobody_reads_the_output(demo_scene, tmp_path, shell):
    """What is written to files is written all the same."""
    program = os.path.join(os.path.dirname(sys.executable), "spectrumencoder")
    command = f"{program} run {demo_scene} --json {tmp_path}/s.json --events {tmp_path}/e.jsonl; echo $? > {tmp_path}/status"
    done = subprocess.run(["bash", "-c", shell.format("{ " + command + "; }")], stderr=subprocess.PIPE, text=True, timeout=120,
                          check=False)
    assert "Traceback" not in done.stderr and "error" not in done.stderr
    assert (tmp_path / "status").read_text().strip() == "0"
    assert json.loads((tmp_path / "s.json").read_text())["frames"] > 10
