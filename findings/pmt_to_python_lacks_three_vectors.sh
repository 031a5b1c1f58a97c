#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# pmt.to_python refuses three of the twelve uniform vectors: those of signed bytes, and of 64-bit integers.
#
# Seen: GNU Radio 3.10.5.1 of Debian 12 and 3.10.12.0 of Debian 13.
# * init_u8, u16, s16, u32, s32, f32, f64, c32 and c64 vectors become NumPy arrays.
# * init_s8, u64 and s64 vectors raise ValueError "can't convert ... type to pmt", though to_python goes the other way.
# * pmt.s8vector_elements, u64vector_elements and s64vector_elements read the same vectors.
# A Python block whose message handler calls to_python ends its flowgraph if such a message comes. A block in C++ may send one at any
# time: a tag or a PDU with 64-bit counters is enough. Cure: read these three by their own functions.
#
# Usage, as root with debootstrap: findings/pmt_to_python_lacks_three_vectors.sh [bookworm|trixie]; exit status 0: still as described.
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
import sys

import pmt
from gnuradio import gr

refused, read = [], []
for kind in ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "c32", "c64"):
    vector = getattr(pmt, f"init_{kind}vector")(2, [1, 2])
    try:
        pmt.to_python(vector)
    except ValueError as error:
        refused.append(kind)
        assert "can't convert" in str(error), error
        if list(getattr(pmt, f"{kind}vector_elements")(vector)) == [1, 2]:
            read.append(kind)
print(f"GNU Radio {gr.version()}: to_python refuses {', '.join(refused)}; their own functions read {', '.join(read)}")
sys.exit(not refused == read == ["s8", "u64", "s64"])
PYTHON
mount -t proc proc "$root/proc"
trap 'umount "$root/proc"; rm -rf --one-file-system "$root"' EXIT
timeout 120 chroot "$root" /usr/bin/python3 /see.py
