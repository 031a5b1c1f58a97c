# SPDX-License-Identifier: GPL-3.0-or-later
"""The band file: it keeps everything, loads fast, refuses what it is not, and survives a killed writer."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from bands import band_of
from gnuradio.spectrumencoder.emitters import commands
from gnuradio.spectrumencoder.emitters.band_file import BandFile, BandFileError, load
from gnuradio.spectrumencoder.emitters.band_keeper import BandKeeper, change, decisions


def test_everything_comes_back(tmp_path):
    band, path = band_of(7, 2), tmp_path / "my.band"
    commands.accept(band.registry, 3)
    commands.name(band.registry, 3, "Gartentor")
    commands.ignore(band.registry, 433e6, 433.1e6)
    band.save(path)
    again = load(path)
    assert (again.learned_s, again.complete, again.window, again.fft_size, again.model) == (
        120.0, True, "blackmanharris", 1024, "base")
    assert again.created_s == again.updated_s > 0
    assert list(again.registry.emitters) == list(range(1, 8)) and again.registry.next_id == 8
    assert again.registry.ignored == [(433e6, 433.1e6)]
    for number, emitter in band.registry.emitters.items():
        other = again.registry.emitters[number]
        np.testing.assert_allclose(other.profile, emitter.profile, atol=1e-3)
        other.profile = emitter.profile
        assert other == emitter
    for tuning, other in zip(band.tunings, again.tunings, strict=True):
        np.testing.assert_array_equal(tuning.mean_db, other.mean_db)
        assert (tuning.freq_hz, tuning.samp_rate, tuning.frame_hop, tuning.average, tuning.frames) == (
            other.freq_hz, other.samp_rate, other.frame_hop, other.average, other.frames)
        assert other.overlap == 0.0
    assert load(path).to_bytes() == path.read_bytes()


def test_numbers_of_emitters_are_not_given_again():
    band = band_of(3, 1)
    del band.registry.emitters[3]
    again = BandFile.from_bytes(band.to_bytes(), "x")
    assert again.registry.next_id == 4


def test_a_band_without_anything_comes_back(tmp_path):
    BandFile().save(tmp_path / "empty.band")
    again = load(tmp_path / "empty.band")
    assert not again.registry.emitters and not again.tunings and not again.complete


def test_a_large_band_loads_fast(tmp_path):
    """500 emitters and 64 tunings: below 50 ms of a core, the best of five."""
    path = tmp_path / "large.band"
    band_of(500, 64).save(path)
    times = []
    for _ in range(5):
        began = time.process_time()
        assert len(load(path).registry.emitters) == 500
        times.append(time.process_time() - began)
    assert min(times) < 0.05, times


@pytest.mark.parametrize(("content", "text"), [
    (b"", "is no band file, or damaged"), (b"\xff\x00", "is no band file, or damaged"), (b"[1, 2]", "is no band file"),
    (b'{"format": "other"}', "is no band file"), (b'{"format": "spectrumencoder band", "version": 99}', "version 99"),
    (b'{"format": "spectrumencoder band", "version": 1}', "'fft_size' is missing")])
def test_what_is_no_band_file_is_refused_in_a_line(tmp_path, content, text):
    path = tmp_path / "bad.band"
    path.write_bytes(content)
    with pytest.raises(BandFileError, match=text) as error:
        load(path)
    assert "\n" not in str(error.value) and "learn" in str(error.value) and str(path) in str(error.value)


def test_every_cut_and_every_wrong_value_is_a_line(tmp_path):
    """Whatever is damaged in the text: BandFileError, or a band; never another exception."""
    whole = band_of(3, 2).to_bytes()
    rng = random.Random(5)
    for _ in range(300):
        if rng.random() < 0.3:
            content = whole[:rng.randrange(len(whole))]
        else:
            row = json.loads(whole)
            part = rng.choice([row, row["emitters"][0], row["tunings"][1]])
            part[rng.choice(list(part))] = rng.choice([None, "text", -1, [], {}, 1e308, [1, 2, 3], True])
            content = json.dumps(row).encode()
        try:
            BandFile.from_bytes(content, "x")
        except BandFileError as error:
            assert "\n" not in str(error)


def test_a_calibrated_model_is_refused_with_the_cure(tmp_path, model_file):
    with pytest.raises(BandFileError, match="is a model file.* --detector boxes, or learn anew: --learn 120"):
        load(model_file)


def test_a_file_that_is_not_there_or_cannot_be_written(tmp_path):
    with pytest.raises(BandFileError, match="there is no band file .*; make it: run SOURCE --learn 120"):
        load(tmp_path / "none.band")
    with pytest.raises(BandFileError, match="cannot write .*name a file in a folder that exists"):
        BandFile().save(tmp_path / "nowhere" / "x.band")
    with pytest.raises(BandFileError, match="cannot write .*name a file in a folder that exists"):
        BandKeeper(tmp_path / "nowhere" / "x.band", threading.Lock())
    with pytest.raises(BandFileError, match="cannot write .*name a file in a folder that you may write"):
        BandKeeper("/proc/x.band", threading.Lock())  # not even root makes a file there
    with pytest.raises(BandFileError, match="Is a directory"):
        BandKeeper(tmp_path, threading.Lock())


def test_a_file_or_folder_that_is_read_only_is_refused_before_the_run_and_left_as_it_is():
    """As an ordinary user: what is read-only does not stop root."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        fixed, free = Path(folder) / "fixed.band", Path(folder) / "free.band"
        for path in (fixed, free):
            band_of(2, 1).save(path)
        before = free.read_bytes()
        fixed.chmod(0o444)
        free.chmod(0o666)

        def said(path):
            done = subprocess.run([sys.executable, "-c", "import sys\n"
                                   "from gnuradio.spectrumencoder.emitters.band_keeper import BandFileError, check_band_file\n"
                                   "try: check_band_file(sys.argv[1])\n"
                                   "except BandFileError as error: print(error)", path], capture_output=True, text=True,
                                  user=65534 if os.geteuid() == 0 else None, timeout=60)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()
        assert said(free) == said(Path(folder) / "new.band") == ""
        assert said(fixed) == f"cannot write {fixed}: it is read-only; name a file in a folder that you may write"
        os.chmod(folder, 0o555)
        new = Path(folder) / "new.band"
        assert said(new) == f"cannot write {new}: Permission denied; name a file in a folder that you may write"
        assert sorted(path.name for path in Path(folder).iterdir()) == ["fixed.band", "free.band"]
        assert free.read_bytes() == before
        os.chmod(folder, 0o777)


def test_frames_of_another_kind_are_refused():
    with pytest.raises(BandFileError, match="1024 bins and the window blackmanharris, the frames have 512 and hann"):
        band_of(1, 1).check("hann", 512)
    band_of(1, 1).check("blackmanharris", 1024)


def test_decisions_on_the_file_reach_the_detector(tmp_path):
    """The detector saves later than the operator decides, and keeps both."""
    path, ours = tmp_path / "my.band", band_of(4, 1)
    keeper, seen = BandKeeper(path, threading.Lock()), []

    def carry_out(found):
        for command, arguments in found:
            seen.append(command)
            getattr(commands, command)(ours.registry, *arguments)
    assert keeper.load() is None
    keeper.save(carry_out, lambda: ours)
    keeper.look(carry_out, lambda: ours.registry)
    assert seen == []

    def decide(registry):
        commands.accept(registry, 2)
        commands.name(registry, 3, "pump")
        commands.ignore(registry, 1e6, 2e6)
    change(path, decide)
    ours.registry.emitters[1].count += 5  # the detector went on
    keeper.save(carry_out, lambda: ours)
    assert seen == ["ignore", "accept", "name"]
    again = load(path)
    assert again.registry.emitters[2].accepted and again.registry.emitters[3].name == "pump"
    assert again.registry.ignored == [(1e6, 2e6)]
    assert again.registry.emitters[1].count == ours.registry.emitters[1].count
    change(path, lambda registry: commands.unignore(registry, 1e6, 2e6))
    keeper.look(carry_out, lambda: ours.registry)
    assert seen[3:] == ["unignore"] and ours.registry.ignored == []
    assert decisions(ours.registry, ours.registry) == []


def test_two_writers_lose_nothing(tmp_path):
    """Twenty threads accept an emitter each, at once."""
    path = tmp_path / "my.band"
    band_of(20, 1).save(path)
    threads = [threading.Thread(target=change, args=(path, lambda registry, n=n: commands.accept(registry, n)))
               for n in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(emitter.accepted for emitter in load(path).registry.emitters.values())


KILLS = 50


def test_a_killed_writer_loses_no_accepted_emitter(tmp_path):
    """A process accepts emitter after emitter, saves, and only then reports it; it is killed 50 times at random moments."""
    path, rng = tmp_path / "my.band", random.Random(17)
    program = os.path.join(os.path.dirname(__file__), "accept_for_ever.py")
    acknowledged, saved_by_killed = 0, 0
    child = subprocess.Popen([sys.executable, program, str(path), str(KILLS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(KILLS):
        child.stdin.write(b"go\n")
        child.stdin.flush()
        pid = int(child.stdout.readline())
        time.sleep(0.005 + 0.1 * rng.random())
        os.kill(pid, signal.SIGKILL)
        lines = []
        while (line := child.stdout.readline().strip()) != b"killed":
            lines.append(int(line))
        acknowledged = max([acknowledged, *lines])
        if acknowledged:
            band = load(path)
            accepted = {number for number, emitter in band.registry.emitters.items() if emitter.accepted}
            assert set(range(1, acknowledged + 1)) <= accepted
            saved_by_killed = len(accepted)
    child.stdin.close()
    child.wait(10)
    assert acknowledged >= KILLS and saved_by_killed >= acknowledged
