# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C and SIGTERM at any moment: the program ends within seconds, says so in a line, and leaves whole files."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

SCRIPT = os.path.join(os.path.dirname(sys.executable), "spectrumencoder")
ENDS_WITHIN_S = 5.0  # 2 s are promised, on a machine that is not busy


@pytest.fixture(scope="module")
def recording(tmp_path_factory, write_sigmf):
    """20 s of noise at 1 MS/s with bursts in the second half."""
    rng, rate, seconds = np.random.default_rng(5), 1e6, 20
    iq = rng.standard_normal((int(rate * seconds), 2), np.float32).view(np.complex64)[:, 0] * np.float32(0.01)
    for begin in np.arange(11.0, seconds - 0.1, 0.5):
        burst = slice(int(begin * rate), int((begin + 0.05) * rate))
        iq[burst] += 0.2 * np.exp(0.7j * np.arange(50_000)).astype(np.complex64)
    return write_sigmf(tmp_path_factory.mktemp("stops"), "noise", iq, rate)


def start(*arguments):
    # ignored where tests run in the background
    return subprocess.Popen([SCRIPT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def ends(process) -> tuple[list[str], float]:
    """The lines of stderr, and the seconds that it took."""
    began = time.monotonic()
    try:
        _, errors = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError("it hangs") from None
    return [line for line in errors.splitlines() if line], time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("live", [True, False])
def test_a_signal_while_the_flowgraph_starts(recording, tmp_path, number, live):
    source = ("soapy:driver=spectrumtest", "--freq", "434e6", "--rate", "1e6") if live else (recording,)
    for wait_s in (0.0, 0.0, 0.02):
        events = tmp_path / "e.jsonl"
        events.unlink(missing_ok=True)
        process = start("run", *source, "--events", events, "-q")
        while not events.exists():
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(wait_s)
        process.send_signal(number)
        lines, took_s = ends(process)
        assert took_s < ENDS_WITHIN_S
        assert process.returncode == (0 if live else 1), lines
        assert len(lines) == (0 if live else 1) and all("interrupted in noise" in line for line in lines)


@pytest.mark.parametrize("seed", range(2))
def test_a_signal_at_any_moment(recording, tmp_path, seed):
    random_ = random.Random(seed)
    radio = ("soapy:driver=spectrumtest", "--freq", "434e6", "--rate", "1e6")
    for command in (("run", recording), ("run", *radio), ("calibrate", recording, "--out", tmp_path / "q.band"),
                    ("calibrate", *radio, "--out", tmp_path / "r.band"), ("info", recording)):
        number = random_.choice([signal.SIGINT, signal.SIGTERM])
        process = start(*command)
        time.sleep(random_.uniform(0.1, 1.2))  # before, Python itself is not up
        process.send_signal(number)
        lines, took_s = ends(process)
        assert took_s < ENDS_WITHIN_S and process.returncode in (0, 1), (command, number, lines)
        if process.returncode == 1:
            assert sum(line.startswith("error: ") for line in lines) == 1 and "interrupted" in lines[-1], lines
        assert not any("Traceback" in line for line in lines)
    assert not [f for f in os.listdir(tmp_path) if f.startswith(".")]  # no IQ of a calibration is left


def test_further_signals_do_not_disturb_the_end(tmp_path, small_model, make_scene):
    scene = make_scene({"freq_hz": 100.05e6, "power_dbfs": -40, "start_s": 1.0})
    for pause_s in (0.0, 0.05, 0.3):
        files = {name: tmp_path / f"{name}{pause_s}" for name in ("events", "json")}
        process = start("run", f"soapy:driver=spectrumtest,scene={scene}", "--freq", "100e6", "--rate", "250e3", "--learn", "0.5",
                        "--model", small_model, "--events", files["events"], "--json", files["json"])
        while not files["events"].exists() or not files["events"].read_text():
            assert process.poll() is None
            time.sleep(0.02)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
            time.sleep(pause_s)
            if process.poll() is not None:
                break
        lines, took_s = ends(process)
        assert process.returncode == 0 and took_s < ENDS_WITHIN_S, lines
        events = [json.loads(line) for line in files["events"].read_text().splitlines()]
        states = {event["event_id"]: event["state"] for event in events}
        assert states and set(states.values()) == {"close"}
        assert json.loads(files["json"].read_text())["events"] == len(states)


@pytest.mark.parametrize("reads", [1, 2, 3, 8])
def test_a_driver_that_throws_at_once_is_a_line_and_not_an_abort(small_model, reads):
    process = start("run", f"soapy:driver=spectrumtest,unplug_after={reads}", "--freq", "100e6", "--rate", "1e6", "--model",
                    small_model, "--duration", "5", "-q")
    lines, took_s = ends(process)
    assert process.returncode == 1 and took_s < 8, lines
    assert len(lines) == 1 and "the radio's driver failed" in lines[0] and "the device is gone" in lines[0]
