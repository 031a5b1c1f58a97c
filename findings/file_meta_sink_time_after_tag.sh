#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU Radio 3.10: a tag inside a segment makes file_meta_sink write all later times too early.
#
# A stream of 1000 items/s is tagged rx_time = 100 s at item 0, and rx_freq at item 0 and item 5000: a retune, as radios tag it. The
# sink closes the segment at item 5000 and begins another. Seen in 3.10.5.1 of Debian 12, with segments of at most 8000 items:
# * The new segment's header has the rx_time of the segment before, 100 s. Its first item was taken at 105 s.
# * The next segment, which no tag begins, has the time of the one before and its items: 108 s, where 113 s is right.
# * Without a retune the times are right, since each full segment adds its items.
# So a file of a receiver that was retuned without an rx_time tag is early by the items of each segment that a tag cut short. Cure:
# add up the items from the first header on, and take a header's time only if it is later than that of the segment before it.
#
# Usage, as root with debootstrap: findings/file_meta_sink_time_after_tag.sh [bookworm|trixie]; exit status 0: still as described.
set -euo pipefail
suite=${1:-bookworm}
declare -A version=([bookworm]=3.10.5.1-3 [trixie]=3.10.12.0-1)
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Label: Debian" "Created-By: Packages" | head -1)
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >"$root.log" 2>&1 || { tail -5 "$root.log" >&2; exit 2; }
cp -L /etc/resolv.conf "$root/etc/"
chroot "$root" sh -c "apt-get update -q && apt-get install -y -q --no-install-recommends xterm gnuradio=${version[$suite]}*" \
    >>"$root.log" 2>&1 || { tail -5 "$root.log" >&2; exit 2; }
rm -f "$root.log"
cat >"$root/see.py" <<'PYTHON'
import contextlib
import io
import sys

import pmt
from gnuradio import blocks, gr
from gnuradio.blocks import parse_file_metadata as parse

RATE, PATH = 1000.0, "/samples"


def tag(offset, key, value):
    made = gr.tag_t()
    made.offset, made.key, made.value = offset, pmt.intern(key), value
    return made


top = gr.top_block()
source = blocks.vector_source_c([0j] * 20000, False, 1, [
    tag(0, "rx_time", pmt.make_tuple(pmt.from_uint64(100), pmt.from_double(0.0))), tag(0, "rx_rate", pmt.from_double(RATE)),
    tag(0, "rx_freq", pmt.from_double(1e8)), tag(5000, "rx_freq", pmt.from_double(2e8))])
sink = blocks.file_meta_sink(gr.sizeof_gr_complex, PATH, RATE, 1, blocks.GR_FILE_FLOAT, True, 8000, pmt.make_dict(), False)
top.connect(source, sink)
top.run()
sink.close()
rows, n_before = [], 0
with open(PATH, "rb") as file, contextlib.redirect_stdout(io.StringIO()):
    while len(head := file.read(parse.HEADER_LENGTH)) == parse.HEADER_LENGTH:
        info = parse.parse_header(pmt.deserialize_str(head))
        info = parse.parse_extra_dict(pmt.deserialize_str(file.read(info["extra_len"])), info)
        rows.append((n_before, int(info["nitems"]), round(info["rx_time"], 6), info.get("rx_freq")))
        n_before += int(info["nitems"])
        file.seek(int(info["nbytes"]), 1)
print(f"GNU Radio {gr.version()}")
for first, count, seconds, freq in rows:
    print(f"segment of items {first} to {first + count}: rx_freq {freq}, rx_time {seconds}; item {first} was taken at "
          f"{100 + first / RATE}")
sys.exit([row[:3] for row in rows] != [(0, 5000, 100.0), (5000, 8000, 100.0), (13000, 7000, 108.0)])
PYTHON
mount -t proc proc "$root/proc"
trap 'umount "$root/proc"; rm -rf --one-file-system "$root"' EXIT
timeout 120 chroot "$root" /usr/bin/python3 /see.py
