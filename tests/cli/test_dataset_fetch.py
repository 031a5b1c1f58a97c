# SPDX-License-Identifier: GPL-3.0-or-later
"""dataset fetch and info against a server on loopback: whole, resumed, broken off, another file, none; nothing half done."""

import hashlib
import http.server
import json
import threading
from collections import Counter

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import open_recording
from gnuradio.spectrumencoder.training.corpus import ALIASES, CLASSES, open_source
from gnuradio.spectrumencoder.training.fetch import FetchError, UnreachableError, fetch
from gnuradio.spectrumencoder.training.public_recordings import ManifestError, read_manifest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RNG = np.random.default_rng(3)
BYTES = {"a.cu8": RNG.integers(0, 256, 400_000, np.uint8).tobytes(),
         "with header.wav": b"H" * 44 + RNG.integers(0, 256, 20_000, np.uint8).tobytes(),
         "floats.cf32": (1e-3 * RNG.normal(size=8_000)).astype("<f4").tobytes()}
FAST = {"tries": 3, "timeout_s": 0.4}


class Server(http.server.ThreadingHTTPServer):
    """Serves BYTES under /me/recordings/COMMIT/; `habits` of a path make it fail, `requests` says what was asked for."""

    daemon_threads = True

    def __init__(self):
        self.habits, self.requests = {}, []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path.rsplit("/", 1)[1].replace("%20", " ")
        habits, start = self.server.habits, int((self.headers["Range"] or "bytes=0-")[6:-1])
        self.server.requests.append((name, start))
        if name not in BYTES or not self.path.startswith(f"/me/recordings/{COMMIT}/"):
            return self.send_error(404)
        if habits.get("busy", 0):
            habits["busy"] -= 1
            return self.send_error(503)
        if habits.get("no_range"):
            start = 0
        content = habits.get("content", BYTES[name])
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = min(start + habits.get("dies_after", len(content)), len(content))
        self.wfile.write(content[start:stop])
        if habits.get("hangs"):
            self.server.release.wait(5)
        return None


@pytest.fixture
def server():
    with Server() as server:
        server.release = threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def table(name, file, /, **fields) -> str:
    """One [[recordings]] table for a file of the server; a field given as None is left out."""
    content = BYTES.get(file, b"")
    values = {"name": name, "repository": "me/recordings", "path": file, "commit": COMMIT,
              "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content), "licence": "none", "label": "thing",
              "class": "LoRa", "family": "ism", "sample_rate_hz": 1e6, "center_freq_hz": 433.92e6, "datatype": "cu8"} | fields
    return "[[recordings]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items() if v is not None)


@pytest.fixture
def manifest(tmp_path):
    """Writes tables as a manifest."""
    def write(*tables):
        path = tmp_path / "m.toml"
        path.write_text("format = 1\n" + "\n".join(tables))
        return path
    return write


@pytest.fixture
def row(manifest):
    return read_manifest(manifest(table("a", "a.cu8", bursts=[[1000, 500], [9000, 50, "by eye"]])))[0]


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def whole(out, name="a", content=BYTES["a.cu8"]):
    """Exactly one recording, with these bytes, and no trace of the transfer."""
    assert sorted(p.name for p in out.iterdir()) == [f"{name}.sigmf-data", f"{name}.sigmf-meta"]
    assert (out / f"{name}.sigmf-data").read_bytes() == content
    assert open_recording(out / name).verify()


def test_fetched_and_labelled(server, row, out):
    """The samples as served, valid SigMF, labelled as the corpus is; a second call asks the server for nothing."""
    import sigmf
    seen = []
    assert fetch(row, out, base_url=server.url, progress=seen.append, **FAST) == 400_000
    whole(out)
    assert seen[-1] == 400_000 and seen == sorted(seen)
    sigmf.sigmffile.fromfile(str(out / "a.sigmf-meta")).validate()
    source = open_source(out / "a.sigmf-meta")
    assert (source.label, source.cls, source.family) == ("LoRa", "LoRa", "ism")
    assert source.bursts == [(1000, 500), (9000, 50)]
    assert (source.samp_rate, source.recording.frequency_hz, source.recording.n_samples) == (1e6, 433.92e6, 200_000)
    assert f"{COMMIT} (sha256 of source file {row.sha256})" in source.recording.meta["global"]["core:description"]
    before = len(server.requests)
    assert fetch(row, out, base_url=server.url, **FAST) == -1
    assert len(server.requests) == before


def test_header_excerpt_and_scale(server, manifest, out):
    """What is skipped, taken and scaled; the hash of the samples is checked."""
    right = np.frombuffer(BYTES["floats.cf32"], "<f4")
    wanted = np.rint(right[200:1200] * np.float32(29000 / float(np.abs(right[200:1200]).max()))).astype("<i2").tobytes()
    rows = read_manifest(manifest(
        table("header", "with header.wav", header_bytes=44, first_sample=10, n_samples=500, center_freq_hz=None),
        table("floats", "floats.cf32", datatype="cf32_le", first_sample=100, n_samples=500, peak_int16=29000,
              sha512=hashlib.sha512(wanted).hexdigest()),
        table("other", "floats.cf32", datatype="cf32_le", sha512="0" * 128)))
    for row in rows[:2]:
        fetch(row, out, base_url=server.url, **FAST)
    header = open_recording(out / "header")
    assert header.data_path.read_bytes() == BYTES["with header.wav"][44 + 20:44 + 20 + 1000] and header.frequency_hz is None
    floats = open_recording(out / "floats")
    assert floats.datatype == "ci16_le" and floats.data_path.read_bytes() == wanted
    assert np.abs(np.frombuffer(wanted, "<i2")).max() == 29000
    with pytest.raises(FetchError, match="sha512"):
        fetch(rows[2], out, base_url=server.url, **FAST)
    assert not (out / "other.sigmf-data").exists()


def test_dying_server_is_taken_up_where_it_ended(server, row, out):
    server.habits["dies_after"] = 150_000
    assert fetch(row, out, base_url=server.url, **FAST) == 400_000
    whole(out)
    assert server.requests == [("a.cu8", 0), ("a.cu8", 150_000), ("a.cu8", 300_000)]


def test_goes_on_in_the_next_call(server, row, out):
    """Given up after `tries`, with what came kept; the next call fetches the rest only."""
    server.habits["dies_after"] = 100_000
    with pytest.raises(FetchError, match="broke off at 300000 of 400000 bytes; 3 tries"):
        fetch(row, out, base_url=server.url, **FAST)
    assert [p.name for p in out.iterdir()] == [".fetch"]
    server.habits.clear()
    assert fetch(row, out, base_url=server.url, **FAST) == 100_000
    whole(out)


def test_hanging_server(server, row, out):
    server.habits.update(dies_after=1000, hangs=True)
    with pytest.raises(FetchError, match="3000 of 400000 bytes"):
        fetch(row, out, base_url=server.url, **FAST)


def test_server_without_ranges(server, row, out):
    server.habits.update(dies_after=150_000, no_range=True)
    with pytest.raises(FetchError, match="150000 of 400000"):
        fetch(row, out, base_url=server.url, **FAST)
    del server.habits["dies_after"]
    assert fetch(row, out, base_url=server.url, **FAST) == 400_000
    whole(out)


def test_busy_server(server, row, out):
    server.habits["busy"] = 2
    fetch(row, out, base_url=server.url, **FAST)
    whole(out)
    server.habits["busy"] = 9
    (out / "a.sigmf-meta").unlink()
    with pytest.raises(FetchError, match="HTTP 503; 3 tries"):
        fetch(row, out, base_url=server.url, **FAST)


@pytest.mark.parametrize("size", [400_000, 0], ids=["size known", "size unknown"])
def test_another_file(server, manifest, out, size):
    """Same length, other bytes: refused, nothing is kept; other length: refused before it comes."""
    row, = read_manifest(manifest(table("a", "a.cu8", size_bytes=size)))
    server.habits["content"] = BYTES["a.cu8"][:-1] + b"?"
    with pytest.raises(FetchError, match="another file"):
        fetch(row, out, base_url=server.url, **FAST)
    assert not list(out.glob("**/*.sigmf-*")) and not list(out.glob(".fetch/*"))
    server.habits["content"] = BYTES["a.cu8"] + b"more"
    with pytest.raises(FetchError, match="400004 bytes" if size else "sha256"):
        fetch(row, out, base_url=server.url, **FAST)
    server.habits.clear()
    fetch(row, out, base_url=server.url, **FAST)
    whole(out)


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * 400_000, b"x" * 500_000, BYTES["a.cu8"]],
                         ids=["wrong start", "wrong whole", "too long", "right whole"])
@pytest.mark.parametrize("size", [400_000, 0], ids=["size known", "size unknown"])
def test_what_an_earlier_call_left(server, manifest, out, left, size):
    row, = read_manifest(manifest(table("a", "a.cu8", size_bytes=size)))
    (out / ".fetch").mkdir()
    (out / ".fetch" / f"{row.sha256}.part").write_bytes(left)
    fetch(row, out, base_url=server.url, **FAST)
    whole(out)
    assert bool(server.requests) == (left != BYTES["a.cu8"])


def test_damaged_recording_is_fetched_again(server, row, out):
    fetch(row, out, base_url=server.url, **FAST)
    (out / "a.sigmf-data").write_bytes(BYTES["a.cu8"][:-2] + b"??")
    assert fetch(row, out, base_url=server.url, **FAST) == 400_000
    whole(out)


def test_no_server_and_no_such_file(server, row, manifest, out):
    with pytest.raises(UnreachableError, match="no answer"):
        fetch(row, out, base_url="http://127.0.0.1:9", tries=2, timeout_s=0.2)
    gone, = read_manifest(manifest(table("b", "b.cu8")))
    with pytest.raises(FetchError, match="HTTP 404"):
        fetch(gone, out, base_url=server.url, **FAST)
    assert server.requests == [("b.cu8", 0)]
    with pytest.raises(FetchError, match="http://"):
        fetch(row, out, base_url="file:///etc")
    assert not list(out.iterdir())


def test_shipped_manifest():
    """Every row complete: hashes, size, class; names that could leave the folder are refused on reading."""
    rows = read_manifest()
    assert len(rows) > 150
    assert all(len(r.sha256) == 64 and len(r.sha512) == 128 and r.size_bytes and r.n_samples and r.licence for r in rows)
    assert len({r.sha256 for r in rows}) == len(rows)
    assert {*CLASSES} <= {ALIASES.get(r.cls, r.cls) for r in rows}


def test_shipped_manifest_is_that_of_the_corpus(corpus):
    """The hashes, labels and marks of the recordings that the project is trained on."""
    for row in read_manifest():
        meta = corpus / f"{row.name}.sigmf-meta"
        if not meta.is_file():
            continue
        recording = open_recording(meta)
        head = recording.meta["global"]
        assert head["core:sha512"] == row.sha512 and row.sha256 in head["core:description"]
        assert (recording.samp_rate, recording.frequency_hz, recording.n_samples) == (
            row.sample_rate_hz, row.center_freq_hz, row.n_samples)
        assert [(a.sample_start, a.sample_count, a.comment) for a in recording.annotations[1:]] == list(row.bursts)


@pytest.mark.parametrize(("change", "says"), [
    ({"name": "../a"}, "plain name"), ({"path": "a/../../b"}, "plain path"), ({"sha256": "12"}, "64 digits"),
    ({"commit": "main"}, "40 digits"), ({"licence": None}, "licence is missing"), ({"class": None}, "class is missing"),
    ({"datatype": "cu7"}, "cu7"), ({"speed": 1}, "'speed' is no field"), ({"sample_rate_hz": 0}, "rate"),
    ({"sample_rate_hz": "1e6"}, "float"), ({"n_samples": 200_001}, "do not fit"), ({"n_samples": -1}, "negative"),
    ({"peak_int16": 9}, "cf32_le"), ({"bursts": [[1]]}, "burst"), ({"bursts": 3}, "burst"), ({"name": 7}, "str")])
def test_manifest_refused(manifest, change, says):
    with pytest.raises(ManifestError, match=says):
        read_manifest(manifest(table("a", "a.cu8", **change)))


def test_manifest_refused_as_a_whole(manifest, tmp_path):
    for content, says in (("format = 2", "format"), ("format = 1", "no recordings"), ("format = ", "not TOML")):
        (tmp_path / "x.toml").write_text(content)
        with pytest.raises(ManifestError, match=says):
            read_manifest(tmp_path / "x.toml")
    with pytest.raises(ManifestError, match="two recordings"):
        read_manifest(manifest(table("a", "a.cu8"), table("a", "a.cu8")))
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "nowhere.toml")


def test_command(server, manifest, out, call, the_line, tmp_path):
    """What fails is named, the others are fetched, exit status 1; done again it is quick and 0."""
    path = manifest(table("a", "a.cu8"), table("gone", "b.cu8"),
                    table("w", "with header.wav", header_bytes=44, **{"class": "BLE"}))
    base = ("dataset", "fetch", "--manifest", path, "--out", out, "--base-url", server.url, "--timeout", 1)
    done = call(*base, "--json", tmp_path / "f.json")
    assert done.returncode == 1 and "1 of 3" in done.stderr and "gone" in done.stderr and "404" in done.stderr
    assert json.loads((tmp_path / "f.json").read_text())["fetched"] == {"a": 400_000, "w": 20_044}
    done = call(*base, "--only", "ble")
    assert done.returncode == 0 and "0 recordings fetched" in done.stdout and "1 there already" in done.stdout
    assert "LTE" in the_line(call(*base, "--only", "LTE"), 2)
    done = call("dataset", "info", out, "--verify", "--json", tmp_path / "i.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "i.json").read_text())
    assert (found["recordings"], found["licences"]) == (2, {"none stated": 2})
    assert found["classes"]["BLE"] == {"recordings": 1, "seconds": 0.01, "bytes": 20_000}


def test_command_gives_up_where_nothing_answers(manifest, out, call, server):
    path = manifest(*(table(name, "a.cu8") for name in "abcdef"))
    done = call("dataset", "fetch", "--manifest", path, "--out", out, "--base-url", "http://127.0.0.1:9", "--tries", 1)
    assert done.returncode == 1 and "3 were not tried" in done.stderr and done.stderr.count("not fetched") == 3


def test_info_of_the_manifest(call, the_line, tmp_path):
    done = call("dataset", "info", "--json", tmp_path / "i.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "i.json").read_text())
    assert found["licences"] == dict(Counter(r.licence_url or "none stated" for r in read_manifest()))
    assert "licence: none stated" in done.stdout and "foldynl/rtl_433_tests" in done.stdout
    assert "cannot be read" in the_line(call("dataset", "info", "--manifest", tmp_path / "no.toml"), 1)
    assert "--verify" in the_line(call("dataset", "info", "--verify"), 2)
