# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units of the pages: systemd takes them, their commands are of this program, and end in good order."""

import configparser
import re
import shutil
import signal
import subprocess
import time

import pytest
from documented_lines import ROOT, fences, free_port
from gnuradio.spectrumencoder.cli.main import program as commands


@pytest.fixture(params=["live.md", "box_by_the_antenna.md"])
def unit(request):
    (text,) = [fence.text for fence in fences(ROOT / "docs" / request.param) if fence.language == "ini"]
    return text


@pytest.fixture
def service(unit):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(re.sub(r"\\\n +", "", unit))
    return parser["Service"]


def test_its_command_has_these_options(service):
    path, command, source, *options = service["ExecStart"].split()
    known = {name for parameter in commands([]).commands[command].params for name in parameter.opts}
    assert path.endswith("/spectrumencoder") and source == "soapy:driver=rtlsdr"
    assert {option for option in options if option.startswith("--")} <= known
    assert service["WorkingDirectory"] == "%S/" + service["StateDirectory"]


def test_systemd_takes_it(unit, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    file = tmp_path / "spectrumencoder.service"
    file.write_text(unit.replace("/usr/bin/spectrumencoder", shutil.which("true")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, timeout=60,
                          check=False)
    told = [line for line in done.stderr.splitlines() if "spectrumencoder.service" in line]
    assert done.returncode == 0 and told == [], done.stderr


def test_its_command_runs_and_ends_at_sigterm_and_goes_on_with_its_files(service, program, tmp_path):
    """On the test radio, in a home that cannot be written; two starts."""
    _, *words = service["ExecStart"].replace("driver=rtlsdr", "driver=spectrumtest").replace("9100", str(free_port())).replace(
        "--learn 300", "--learn 1").replace("--web ", f"--web 127.0.0.1:{free_port()} ").split()
    environment = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "STATE_DIRECTORY": str(tmp_path),
                   "NTFY_URL": f"json://127.0.0.1:{free_port()}"}
    sizes = []
    for _ in range(2):
        running = subprocess.Popen([*program, *words, "--stats"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=environment)
        seen, began = [], time.monotonic()
        while len(seen) < 3 and time.monotonic() - began < 90:
            line = running.stderr.readline()
            seen += [line] if "frames/s" in line else []
            assert running.poll() is None, line
        running.send_signal(signal.SIGTERM)
        out, errors = running.communicate(timeout=60)
        assert running.returncode == 0 and "emitters known" in out, errors
        (band,) = tmp_path.glob("*.band")
        sizes.append(band.stat().st_size)
    assert all(sizes) and "learned" not in out.splitlines()[0] and list(tmp_path.glob("*.jsonl"))
