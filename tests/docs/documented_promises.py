# SPDX-License-Identifier: GPL-3.0-or-later
"""What each documented command line does: how a test runs it, and what must be there afterwards.

A line is in one of three tables, by its exact words: LINES run (with placeholders replaced), SYNOPSES state options (all are
checked against --help; some run as an example), NOT_RUN need what a test has not. A line that no page has is an error.
"""

from dataclasses import dataclass

RADIO = "driver=spectrumtest,pace=0"  # the test radio, as fast as it is read
NEW_CARRIER = r"Z  new  433\.50\d\d MHz"
DEMO_ALERT = r"Z  new  869\.164\d MHz"
COUNTED = r"\d+ frames.*, \d+ emitters known, \d+ alerts?"


@dataclass(frozen=True)
class Promise:
    """What a documented line promises.

    Attributes:
        change: words of the line that a test replaces, as (words, replacement).
        status: exit status. writes: files that must not be empty. says: patterns that the output holds. alerts: (minimum,
            maximum) number of lines of alerts.
    """

    change: tuple[tuple[str, str], ...] = ()
    status: int = 0
    writes: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    alerts: tuple[int, int] | None = None

    def command(self, line: str) -> str:
        """The line with its words replaced."""
        for words, replacement in self.change:
            assert words in line, f"{words!r} is no longer in {line!r}: remove it from the table"
            line = line.replace(words, replacement)
        return line


RTL = ("driver=rtlsdr", RADIO)
PACED = ("driver=spectrumtest", RADIO)

LINES: dict[str, Promise] = {
    # README.md
    ".venv/bin/spectrumencoder run today.sigmf-meta --learn 120 --band-file my.band --events events.jsonl --plot "
    "spectrum.png": Promise(
        writes=("my.band", "events.jsonl", "spectrum.png"), says=(DEMO_ALERT, r"learned 0\.26\d* s of signal"), alerts=(1, 1)),
    ".venv/bin/spectrumencoder band show my.band": Promise(says=(r"869\.164\d MHz.*\(new\)",)),
    ".venv/bin/spectrumencoder devices": Promise(says=("driver=spectrumtest",)),
    ".venv/bin/spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --gain 30 --band-file my.band --events "
    "night.jsonl":
        Promise((RTL, ("night.jsonl", "night.jsonl --learn 1 --duration 3")), writes=("my.band",), says=(COUNTED,)),
    ".venv/bin/spectrumencoder run soapy:driver=spectrumtest --freq 434M --rate 2.4M --learn 20 --duration 45": Promise(
        (PACED, ("--duration 45", "--duration 30")), says=(NEW_CARRIER, "learned 20(.\\d)? s of signal, heard"), alerts=(1, 4)),
    # docs/getting_started.md
    ".venv/bin/spectrumencoder doctor": Promise(says=("GNU Radio",)),
    ".venv/bin/spectrumencoder info capture.cu8": Promise(says=("cu8",)),
    ".venv/bin/spectrumencoder run capture.cu8 --rate 2.4M --freq 433.92M --plot first.png": Promise(
        writes=("first.png",), says=(COUNTED,)),
    ".venv/bin/spectrumencoder calibrate quiet.sigmf-meta --out my.band": Promise(writes=("my.band",)),
    ".venv/bin/spectrumencoder run capture.sigmf-meta --band-file my.band --events events.jsonl --plot second.png": Promise(
        writes=("events.jsonl", "second.png"), says=(DEMO_ALERT,), alerts=(1, 1)),
    # docs/archives.md
    "spectrumencoder run recordings --report report --jobs 2": Promise(
        (("run recordings", "run '[tq]*.sigmf-meta'"),), writes=(
            "report/index.html", "report/events.jsonl", "report/events.parquet", "report/recordings.parquet",
            "report/pictures/today*.png"),
        says=(r"2 of 2 recordings, [1-9]\d* alerts: report/index.html",)),
    # docs/live.md
    "spectrumencoder devices": Promise(says=("driver=spectrumtest",)),
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92e6 --rate 2.4e6 --gain 30 --events events.jsonl --stats": Promise(
        (RTL, ("--stats", "--stats --learn 1 --duration 3")), says=(COUNTED,)),
    "spectrumencoder run soapy:driver=spectrumtest --freq 434M --rate 2.4M --learn 18 --duration 45": Promise(
        (PACED, ("--duration 45", "--duration 28")), says=(NEW_CARRIER, r"433\.9\d+ MHz", r"434\.[34]\d+ MHz"), alerts=(1, 4)),
    "spectrumencoder run soapy:driver=spectrumtest --scan 88e6:108e6 --rate 2.4e6 --duration 10 --sweeps sweeps.jsonl": Promise(
        (PACED, ("--duration 10", "--duration 4")), writes=("sweeps.jsonl",), says=(r"[1-9]\d* sweeps?, ", "note: .*too "
        "few|note: ")),
    "spectrumencoder survey soapy:driver=spectrumtest --scan 88e6:108e6 --rate 2.4e6 --duration 10 --plot fm.png": Promise(
        (PACED, ("--duration 10", "--duration 5")), writes=("fm.png",), says=(r"94\.(79|80)", r"98\.(89|90)", r"106\.(89|90)")),
    "spectrumencoder devices --probe": Promise(says=("driver=spectrumtest", "gain")),
    "spectrumencoder run soapy:driver=rtlsdr --scan 88e6:108e6 --rate 2.4e6 --gain 30 --dc-bins 9 --scan-overlap 0.5 "
    "--duration 60 "
    "--sweeps fm.jsonl": Promise((RTL, ("--duration 60", "--duration 5")), writes=("fm.jsonl",), says=(r"[1-9]\d* sweeps?, ",)),
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92e6 --rate 2.4e6 --gain 30 --learn 300 --band-file my.band --events "
    "night.jsonl "
    "--snippets night --stats --metrics 127.0.0.1:9100": Promise(
        (RTL, ("--learn 300", "--learn 3 --duration 6"), ("9100", "FREE_PORT")), writes=("my.band",), says=(COUNTED,)),
    # docs/own_classes.md
    "spectrumencoder convert long.sigmf-meta meter/first --skip 12 --seconds 2": Promise(
        (("long.sigmf-meta", "today.sigmf-meta"), ("meter/first", "first"),
         ("--skip 12 --seconds 2", "--skip 0.1 --seconds 0.1")),
        writes=("first.sigmf-meta", "first.sigmf-data"), says=("0.1 s, from SigMF",)),
    # docs/live.md
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --band-file my.band --events night.jsonl --reconnect":
        Promise((RTL, ("--reconnect", "--reconnect --learn 1 --duration 3")), writes=("my.band",), says=(COUNTED,)),
    "spectrumencoder band show my.band": Promise(says=(r"MHz",)),
    "spectrumencoder band accept my.band 12": Promise((("12", "1"),)),
    # docs/command_line.md
    "spectrumencoder COMMAND --help": Promise((("COMMAND", "run"),), says=("--band-file",)),
    "rtl_sdr -f 433.92M -s 2.4M - | spectrumencoder run - --rate 2.4M --freq 433.92M --format cu8 --learn 60": Promise(
        (("rtl_sdr -f 433.92M -s 2.4M -", "cat capture.cu8"), ("--learn 60", "--learn 0.2")), says=(COUNTED,)),
    "spectrumencoder survey today.sigmf-meta --plot today.png": Promise(writes=("today.png",), says=(r"868\.24",)),
    "spectrumencoder survey soapy:driver=spectrumtest --scan 88M:108M --rate 2.4M --duration 20 --markdown fm.md --plot "
    "fm.png": Promise(
        (PACED, ("--duration 20", "--duration 5")), writes=("fm.md", "fm.png"), says=(r"94\.(79|80)",)),
    # docs/history.md
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --gain 30 --band-file roof.band --history "
    "roof.db": Promise(
        (RTL, ("roof.db", "roof.db --learn 1 --duration 3")), writes=("roof.band", "roof.db"), says=(r"\d+ emitters? known",)),
    "spectrumencoder report roof.db": Promise(says=("# Radio band report: roof", "emitters? heard")),
    "spectrumencoder report roof.db --since 7d --out week.html": Promise(writes=("week.html",)),
    "spectrumencoder report roof.db --since 2026-01-31 --until 2026-02-01T06:00 --out night.md --json night.json": Promise((
        ("--since 2026-01-31 --until 2026-02-01T06:00", "--since all"),),
        writes=("night.md", "night_occupancy.png", "night.json")),
    # docs/web.md
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --gain 30 --band-file my.band --snippets cut "
    "--web": Promise((RTL, ("--web", "--web 127.0.0.1:FREE_PORT --learn 1 --duration 3")),
                     says=(COUNTED, r"the page is at http://127\.0\.0\.1:\d+/\n")),
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --web --web-name radio.example": Promise(
        (RTL, ("--web --web", "--web 127.0.0.1:FREE_PORT --learn 1 --duration 2 --web")), says=(COUNTED, r"/#token=[\w-]{32}")),
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --web 0.0.0.0:8143": Promise(
        (RTL, ("0.0.0.0:8143", "0.0.0.0:FREE_PORT --learn 1 --duration 2")), says=(COUNTED, r"http://\S+:\d+/#token=[\w-]{32} ")),
    # docs/examples.md
    "cd examples": Promise(),
    "GRC_BLOCKS_PATH=../.venv/share/gnuradio/grc/blocks ../.venv/bin/python /usr/bin/grcc -o ../build sensor.grc": Promise(
        (("/usr/bin/grcc", "GRCC"),), writes=("../build/sensor.py",)),
    "../.venv/bin/python ../build/sensor.py --model base --events events.jsonl": Promise(
        (("../.venv/bin/python", "timeout -s INT 8 ../.venv/bin/python"), ("events.jsonl", "events.jsonl --port "
        "FREE_PORT")), status=124),
    # docs/case_study_gnss.md: without the recording a simulated one of the same band, rate and length
    "spectrumencoder calibrate genuine.sigmf-meta --detector boxes --model base --average 2 --out gps.safetensors": Promise(
        writes=("gps.safetensors",), says=("softmax-dynamic/gnss/96/2/energy/(fp32|bf16): learned from", "threshold .* for a "
        "false-alarm rate")),
    "spectrumencoder run spoofed.sigmf-meta --detector boxes --model gps.safetensors --average 2 --events events.jsonl --plot "
    "spectrum.png --quiet": Promise(writes=("spectrum.png",)),
    # docs/push.md: nobody listens there
    "spectrumencoder push test --notify ntfy://localhost/spectrum": Promise(
        (("localhost/", "localhost:FREE_PORT/"),), status=1,
        says=(r"ntfy [0-9a-f]{6}: failed: .*onnection", "1 of 1 targets did not")),
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --notify ntfys://ntfy.sh/my-long-secret-topic": Promise(
        (RTL, ("ntfys://ntfy.sh/", "ntfy://localhost:FREE_PORT/"),
         ("--rate 2.4M", "--rate 2.4M --learn 1 --duration 3 --push-spool s")),
        writes=("s",), says=(COUNTED,)),
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --mqtt mqtt://localhost/attic": Promise(
        (RTL, ("localhost/", "localhost:FREE_PORT/"), ("--rate 2.4M", "--rate 2.4M --learn 1 --duration 3 --push-spool s")),
        writes=("s",), says=(COUNTED, r"push: mqtt://localhost:\d+/attic: not reachable")),
    # docs/hub.md: a hub for two seconds; sensors without one
    "spectrumencoder hub --db hub.db --web 127.0.0.1:8144": Promise(
        (("8144", "FREE_PORT --listen tcp://127.0.0.1:* --duration 2"),), writes=("hub.db",),
        says=("the hub listens at", "the page is at", "0 messages, 0 bytes")),
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --hub tcp://127.0.0.1:5570 --sensor roof --position "
    "47.37,8.54": Promise(
        (RTL, ("tcp://127.0.0.1:5570", "tcp://127.0.0.1:FREE_PORT"),
         ("--sensor", "--learn 1 --duration 3 --hub-spool s --sensor")),
        writes=("s",), says=(COUNTED, "messages wait in s for the next run")),
    "spectrumencoder hub keygen keys --sensor roof --sensor hill": Promise(
        writes=("keys/roof.key", "keys/hill.key", "keys/hub.key"), says=("belongs on the sensor roof",)),
    "spectrumencoder hub --listen tcp://0.0.0.0:5570 --keys keys --db hub.db --web 127.0.0.1:8144": Promise(
        (("8144", "FREE_PORT --duration 2"), ("0.0.0.0:5570", "127.0.0.1:*")), writes=("hub.db",),
        says=("2 sensors on its list",)),
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --hub tcp://hub.example:5570 --hub-key roof.key": Promise(
        (RTL, ("tcp://hub.example:5570", "tcp://127.0.0.1:FREE_PORT"),
         ("roof.key", "keys/roof.key --learn 1 --duration 3 --hub-spool s2")),
        writes=("s2",), says=(COUNTED, "messages wait in s2 for the next run")),
    "spectrumencoder hub send tcp://127.0.0.1:5570 --sensor finder --position 47.37,8.54 < reports.jsonl": Promise(
        (("< reports.jsonl", "<<< '{}'"), ("127.0.0.1:5570", "127.0.0.1:FREE_PORT"),
         ("--sensor", "--wait 1 --hub-spool s3 --sensor")),
        status=1, writes=("s3",), says=("messages wait in s3",)),
    # docs/troubleshooting.md has `doctor`
}

# Lines that state options. Their runs are examples of them; none where only a long job could follow.
SYNOPSES: dict[str, tuple[tuple[str, Promise], ...]] = {
    "spectrumencoder run SOURCE [--events FILE.jsonl] [--annotate[=FILE]] [--signals FILE.jsonl] [--plot FILE.png] [--json "
    "FILE] ...": (
        ("spectrumencoder run capture.sigmf-meta --events e.jsonl --annotate=a.sigmf-meta --signals s.jsonl --plot p.png "
        "--json j.json "
         "--encoded e.enc --snippets cut", Promise(
             writes=("e.jsonl", "a.sigmf-meta", "s.jsonl", "p.png", "j.json", "e.enc", "cut/event-*.sigmf-data"),
             says=(DEMO_ALERT,),
             alerts=(1, 1))),),
    "spectrumencoder view SOURCE [--shown S] [--fast] [--events FILE.jsonl] ...": (),
    "spectrumencoder survey SOURCE [--scan LOW:HIGH,...] [--duration S] [--json FILE|-] [--csv FILE] [--markdown FILE] "
    "[--plot FILE.png]": (
        ("spectrumencoder survey capture.sigmf-meta --csv s.csv --json -", Promise(writes=("s.csv",),
            says=("freq_center_hz",))),),
    "spectrumencoder report SITE.db [--since TIME] [--until TIME] [--out FILE.html|.md] [--json FILE]": (
        ("spectrumencoder run capture.sigmf-meta --history site.db --history-days 30 --history-mb 500", Promise(
            writes=("site.db",))),
        ("spectrumencoder report site.db --since all --until 2026-02-01 --out site.html --json site.json", Promise(
            writes=("site.html", "site.json"))),
        ("spectrumencoder report site.db --since all", Promise(says=(r"New on the band: 869\.164\d MHz",))),),
    "spectrumencoder band show FILE [--all] [--json FILE]": (
        ("spectrumencoder calibrate quiet.sigmf-meta --out my.band", Promise(writes=("my.band",))),
        ("spectrumencoder band show my.band --all --json b.json", Promise(writes=("b.json",))),),
    "spectrumencoder band accept FILE ID": (("spectrumencoder band accept my.band 1", Promise()),),
    "spectrumencoder band ignore FILE LOW:HIGH|ID": (("spectrumencoder band ignore my.band 868M:868.1M", Promise()),),
    "spectrumencoder band unignore FILE LOW:HIGH": (("spectrumencoder band unignore my.band 868M:868.1M", Promise()),),
    "spectrumencoder band name FILE ID NAME": (
        ("spectrumencoder band name my.band 1 doorbell", Promise()),
        ("spectrumencoder band show my.band", Promise(says=("doorbell",))),),
    "spectrumencoder info FILE... [--no-levels] [--json FILE]": (
        ("spectrumencoder info capture.sigmf-meta today.sigmf-meta --no-levels --json i.json", Promise(writes=("i.json",))),),
    "spectrumencoder convert FILE OUT [--overwrite]": (
        ("spectrumencoder convert capture.cu8 c --rate 2M --overwrite", Promise(writes=("c.sigmf-meta", "c.sigmf-data"))),),
    "spectrumencoder devices [DEVICE] [--probe] [--json FILE]": (
        ("spectrumencoder devices driver=spectrumtest --probe --json d.json", Promise(writes=("d.json",))),),
    "spectrumencoder decode FILE [--model base] [--npz FILE.npz] [--csv FILE.csv] [--json FILE]": (
        ("spectrumencoder decode e.enc --npz d.npz --csv d.csv --json dd.json", Promise(writes=("d.npz", "d.csv", "dd.json"))),),
    "spectrumencoder calibrate SOURCE --out FILE.band [--model base] ...": (),
    "spectrumencoder calibrate SOURCE --out FILE.safetensors --detector boxes [--pfa 0.01] ...": (),
    "spectrumencoder train CONFIG.toml --corpus DIR [--corpus DIR ...] --out DIR [--pool DIR] [--fold FILE:NAME] [--resume] "
    "[--minutes M]": (),
    "spectrumencoder train --add-class NAME DIR --out MODEL.safetensors [--model base] [--corpus DIR ...] [--frames 4096] "
    "[--seed 0]": (),
    "spectrumencoder evaluate classify --corpus DIR ... --model base --dropout 0.25 --condition plain|equalised|front-end "
    "[--dtype fp32|bf16|int8] [--json FILE]": (),
    "spectrumencoder evaluate speculative --pool DIR|--corpus DIR [--model speculative[:FAST,LARGE] ...] [--threshold T ...] "
    "[--json FILE] [--markdown FILE.md] [--plot FILE.png]": (),
    "spectrumencoder evaluate precision --pool DIR|--corpus DIR [--model base] [--runtime auto] [--json FILE] [--markdown "
    "FILE.md]": (),
    "spectrumencoder evaluate compress [--model base] [--pool DIR] [--corpus DIR --fold MODEL] [--scenes 8] [--quick] "
    "[--json FILE] "
    "[--markdown FILE.md] [--plot FILE.png]": (),
    "spectrumencoder evaluate watch [--model base] [--dropout 0.25] [--scenes 8] [--hours 2] [--calibration 14 --calibration "
    "120] "
    "[--per-kind 6] [--seed 0] [--json FILE] [--markdown FILE.md]": (),
    "spectrumencoder evaluate field [--plan NAME|FILE|all ...] [--corpus DIR ...] [--learn 120 --learn 15] [--quiet 600] "
    "[--anomalous 300] [--seed 0 ...] [--detectors NAME,...] [--model base] [--dropout 0.25] [--cache runs/field] [--quick] "
    "[--json FILE] [--markdown FILE.md] [--plot FILE.png]": (),
    "spectrumencoder evaluate anomaly [--corpus DIR] [--model base] [--dropout 0.25] [--scenes 24] [--windows 50] "
    "[--per-kind 12] "
    "[--seed 0] [--quick] [--json FILE] [--markdown FILE.md] [--plot FILE.png]": (),
    "spectrumencoder evaluate track --flights DIR [--download] [--part NAME ...] [--work DIR] [--seed 0] [--quick] [--json FILE] "
    "[--markdown FILE.md] [--plot FILE.png]": (),
    "spectrumencoder evaluate track --flights DIR --tune [--json FILE]": (),
    "spectrumencoder evaluate signals --corpus DIR ... [--model NAME ...] [--fold FILE:NAME ...] [--scenes 20] [--seed 0] "
    "[--left-out LABEL,...] [--train-scenes 20] [--dropout 0.25] [--cache runs/signals] [--json FILE] [--markdown FILE.md]": (),
    "spectrumencoder evaluate field-labels --corpus DIR ... --model NAME ... [--plan NAME|FILE|all ...] [--quiet 600] "
    "[--anomalous 300] [--seed 0 ...] [--dropout 0.25] [--cache runs/field] [--json FILE] [--markdown FILE.md]": (),
    "spectrumencoder evaluate strongest --corpus DIR ... --model NAME ... [--dropout 0.25] [--json FILE] [--markdown FILE.md]": (),
    "spectrumencoder evaluate ablate CONFIG.toml --out DIR [--corpus DIR ...] [--pool DIR] [--model NAME] [--work DIR] "
    "[--quick]": (),
    "spectrumencoder hub [--listen tcp://HOST:PORT] [--keys DIR] [--db FILE.db] [--web HOST:PORT] [--history DIR] ...": (
        ("spectrumencoder hub --listen tcp://127.0.0.1:* --db h.db --history old --duration 1 --json h.json",
         Promise(writes=("h.db", "h.json"), says=("the hub listens at",))),),
    "spectrumencoder hub keygen DIR [--sensor ID ...]": (
        ("spectrumencoder hub keygen k --sensor a --sensor b", Promise(writes=("k/a.key", "k/sensors/b.pub"))),),
    "spectrumencoder hub send tcp://HOST:PORT [--sensor ID] [--position LAT,LON] [--hub-key FILE] [--hub-spool FILE] "
    "[--wait 10]": (),
    "spectrumencoder bench latency|throughput|tokenizer|pipeline|detector|energy|memory|recordings|token-head|hub [--quick] "
    "...":
        (("spectrumencoder bench tokenizer --quick --json b.json", Promise(writes=("b.json",))),),
    "spectrumencoder bench report --json-dir DIR --out FILE.md [--about FILE.md]": (),
    "spectrumencoder dataset list DIR": (("spectrumencoder dataset list .", Promise(says=("capture", "today"))),),
    "spectrumencoder dataset info [FILE|DIR] [--manifest FILE] [--verify]": (
        ("spectrumencoder dataset info today.sigmf-meta --verify", Promise(says=("checksum +right",))),),
    "spectrumencoder dataset fetch [--out DIR] [--manifest FILE] [--only CLASS ...]": (),
    "spectrumencoder dataset synth --out NAME [--seed N] [--noise-seed N] [--anomaly none|KIND] [--inr DB] ...": (
        ("spectrumencoder dataset synth --out made --seed 3 --noise-seed 4 --anomaly tone --inr 12 --seconds 0.1", Promise(
            writes=("made.sigmf-meta", "made.sigmf-data", "made.truth.json"))),),
    "spectrumencoder dataset compose PLAN.toml --corpus DIR [--corpus DIR ...] --out NAME [--seconds S] [--seed N] "
    "[--no-anomalies]": (),
    "spectrumencoder models [NAME ...] [--verbose] [--json FILE]": (
        ("spectrumencoder models base --json m.json", Promise(writes=("m.json",), says=("base",))),),
}

NETWORK, ROOT_RIGHTS, LONG = "a network", "root, and changes the system", "the recordings, and minutes to days"
WINDOW = "it stays until its window is closed; tests/cli/test_view.py runs both"
CLUSTER = "it never ends; tests/cli/test_archive_cluster.py has a scheduler and workers"
NOT_RUN: dict[str, str] = {
    "ssh -L 8143:127.0.0.1:8143 radio": NETWORK,
    "dask scheduler --host 127.0.0.1 --no-dashboard": CLUSTER,
    "dask worker tcp://127.0.0.1:8786 --nworkers 2 --nthreads 1 --no-dashboard": CLUSTER,
    "spectrumencoder run recordings --report report --cluster tcp://127.0.0.1:8786": CLUSTER,
    ".venv/bin/pip install -r requirements-push.txt -c constraints-numpy1.txt": NETWORK,
    "spectrumencoder push test --notify env:NTFY_URL --notify file:/etc/spectrumencoder/telegram":
        "tests/push reads such addresses",
    "make demo": "tests/cli/test_demo.py runs it after the set-up",
    "make test": "it is what runs this test",
    "spectrumencoder view today.sigmf-meta": WINDOW,
    "spectrumencoder view soapy:driver=spectrumtest --freq 434M --rate 2.4M --learn 20": WINDOW,
    "make grc": "a screen; tests/grc/test_examples.py opens every example",
    "git clone <this repository> && cd gr-spectrumencoder": NETWORK,
    ".venv/bin/pip install -r requirements-train.txt -c constraints-numpy1.txt": NETWORK,
    "make package && sudo apt install ./package/gr-spectrumencoder_*.deb xterm": ROOT_RIGHTS,
    "sudo tools/install_system_packages": ROOT_RIGHTS,
    "cmake -B build-local -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr/local": "minutes of compiling",
    "cmake --build build-local": "minutes of compiling",
    "sudo cmake --install build-local && sudo ldconfig": ROOT_RIGHTS,
    "sudo apt-get install python3-pip python3-rich python3-matplotlib python3-jsonschema python3-defusedxml python3-shellingham":
        ROOT_RIGHTS,
    "sudo pip install --break-system-packages --no-deps -c constraints-numpy2.txt safetensors sigmf typer "
    "annotated-doc": ROOT_RIGHTS,
    "sudo tools/check_on debian13": ROOT_RIGHTS,
    "sudo tools/check_on debian12 demo --twice": ROOT_RIGHTS,
    "tools/gpu_check.py prepare --corpus CORPUS --out gpu_shards": LONG + "; tests/bench/test_gpu_check.py",
    "tools/gpu_check.py --shards gpu_shards/train --out gpu_check": "a GPU; tests/bench/test_gpu_check.py",
    'SoapySDRUtil --probe="driver=spectrumtest"': "SoapySDR's own program; tests/live/test_test_radio.py probes the radio",
    "../.venv/bin/python ../build/sensor.py & ../.venv/bin/python ../build/decoder_side.py":
        "it never ends; tests/grc/test_examples.py runs both",
    "spectrumencoder dataset compose sparse_433 --corpus recordings --corpus more_recordings --out band": LONG,
    "spectrumencoder train --add-class meter meter/ --out mine.safetensors":
        "a minute, and recordings; tests/training/test_own_class.py runs its like on a small model",
    "spectrumencoder run soapy:driver=rtlsdr --freq 433.92M --rate 2.4M --model mine.safetensors --band-file mine.band":
        "the model of the line before; tests/training/test_own_class.py runs one",
    "spectrumencoder survey today.sigmf-meta --model mine.safetensors": "the same",
    "spectrumencoder train recipes/train/base.toml --corpus CORPUS --pool POOL --fold recipes/train/folds.toml:fold1 --out "
    "runs/base_fold1": LONG,
    "spectrumencoder train recipes/train/base.toml --corpus CORPUS --pool POOL --fold recipes/train/folds.toml:fold1 --out "
    "runs/base_fold1 --resume": LONG,
    "spectrumencoder evaluate classify --corpus CORPUS --corpus CORPUS2 --condition equalised --json FILE --model "
    "models/folds/base_fold1.safetensors --model models/folds/base_fold2.safetensors --model "
    "models/folds/base_fold3.safetensors": LONG,
    "torchrun --standalone --nproc-per-node 2 --no-python spectrumencoder train recipes/train/base.toml --corpus CORPUS --fold "
    "recipes/train/folds.toml:fold1 --out runs/base": LONG + "; tests/training/test_distributed.py runs its like on a small "
    "corpus",
}

# Blocks without a language that are no command lines and no diagrams: (page, first words).
OUTPUTS = (("docs/case_study_gnss.md", "softmax-dynamic/gnss/96/2/energy/fp32: learned from"),)

# Words of Python snippets that a test replaces, by page.
SNIPPETS: dict[str, tuple[tuple[str, str], ...]] = {
    "README.md": (("learn_s=120.0", "learn_s=0.2"),),
    "docs/anomaly_display.md": (("application.exec_()", "from PyQt5 import QtCore\nQtCore.QTimer.singleShot(1500, "
    "application.quit)\n"
                                 "application.exec_()\nassert top.display.widget.isVisible()"),),
    "docs/archives.md": (("import pyarrow.parquet as parquet",
                          "import subprocess\nsubprocess.run(['.venv/bin/spectrumencoder', 'run', 'today.sigmf-meta', "
                          "'--report', 'report'], check=True)\nimport pyarrow.parquet as parquet"),),
    "docs/event_log.md": (
        ("5556", "FREE_PORT"),
        ('socket.setsockopt_string(zmq.SUBSCRIBE, "")\n', 'socket.setsockopt_string(zmq.SUBSCRIBE, "")\n'
         "import pmt, time\nlog.start()\ntime.sleep(1.0)\nfor _ in range(20):\n    log.handle_events(pmt.to_pmt("
         '{"event_id": "a", "state": "open", "freq_center_hz": 1e8}))\n'),
        ("while True:", "for _ in range(2):")),
    "docs/history.md": (("import Reader\n", "import History, Reader\nfrom gnuradio.spectrumencoder.simulate.site_history import "
                         "simulate_history\nhistory = History('roof.db')\nsimulate_history(history, 1794787200, 60, 1300)\n"
                         "history.close()\n"),),
}
# Files that the snippets of a page leave, and what they print.
AFTER: dict[str, Promise] = {
    "README.md": Promise(writes=("events.jsonl", "my.band")),
    "docs/anomaly_detector.md": Promise(says=('"event_id"',)),
    "docs/archives.md": Promise(says=("1 new emitters in 1 recordings",)),
    "docs/doma_tracker.md": Promise(writes=("tracks.jsonl",)),
    "docs/event_log.md": Promise(says=("100000000.0\n100000000.0",)),
    "docs/fft_tokenizer.md": Promise(says=(r"\(64, 1024\)",)),
    "docs/history.md": Promise(says=("receiver 434000000.0", r"432812500.0|432825000.0")),
    "docs/python.md": Promise(writes=("events.jsonl",), says=(r"None [1-9]\d*\n", r"\(\d+, 1024\) flash native")),
    "docs/sigmf_annotator.md": Promise(writes=("events.sigmf-meta",)),
    "docs/signal_list.md": Promise(writes=("signals.jsonl",), says=(r"868\.\d+ MHz, \d+ kHz: \w+",)),
    "docs/snippet_recorder.md": Promise(writes=("snippets/event-*.sigmf-meta", "snippets/event-*.sigmf-data")),
    "docs/spectrum_encoder.md": Promise(says=(r"\[ *\d",)),
    "docs/spectrum_monitor.md": Promise(writes=("events.jsonl",)),
}
