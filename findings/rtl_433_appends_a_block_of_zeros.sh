#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# rtl_433 that converts a recording (-r IN -w OUT) writes 131,072 samples more than it read: a block of the value zero.
#
# Seen: rtl_433 22.11 of Debian 12 and 25.02 of Debian 13, for cu8, cs16 and cf32, of recordings that do not fill its blocks.
# * The samples themselves are kept. Behind the last one stand 131,072 samples of 128 (cu8) or 0 (cs16, cf32). At 250 kS/s that is
#   half a second in which no receiver was.
# * The zero of its cu8 is 128, not 127.5: (x - 128) * 256 is the cs16 value.
# A spectrum of such a file ends in a stretch without noise. A detector that learned the noise calls the band dead, and a mean over
# the file is too low. Cure: leave out runs of identical samples, and say so.
#
# Usage, as root with debootstrap: findings/rtl_433_appends_a_block_of_zeros.sh [bookworm|trixie]; exit status 0: still as described.
set -euo pipefail
suite=${1:-bookworm}
declare -A version=([bookworm]=22.11 [trixie]=25.02)
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Label: Debian" "Created-By: Packages" | head -1)
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >"$root.log" 2>&1 || { tail -5 "$root.log" >&2; exit 2; }
cp -L /etc/resolv.conf "$root/etc/"
chroot "$root" sh -c "apt-get update -q && apt-get install -y -q --no-install-recommends python3 rtl-433=${version[$suite]}*" \
    >>"$root.log" 2>&1 || { tail -5 "$root.log" >&2; exit 2; }
rm -f "$root.log"
cat >"$root/see.py" <<'PYTHON'
import array
import random
import subprocess
import sys

random.seed(1)
samples = 300_000
with open("/in_433.92M_250k.cu8", "wb") as file:
    file.write(bytes(min(255, max(0, round(random.gauss(127.5, 20)))) for _ in range(2 * samples)))
read = open("/in_433.92M_250k.cu8", "rb").read()
for name in ("cu8", "cs16", "cf32"):
    subprocess.run(["rtl_433", "-r", "/in_433.92M_250k.cu8", "-w", f"/out.{name}"], capture_output=True, timeout=60, check=True)
cu8 = open("/out.cu8", "rb").read()
cs16 = array.array("h", open("/out.cs16", "rb").read())
cf32 = array.array("f", open("/out.cf32", "rb").read())
more = {"cu8": len(cu8) // 2 - samples, "cs16": len(cs16) // 2 - samples, "cf32": len(cf32) // 2 - samples}
kept = cu8[:2 * samples] == read and list(cs16[:2 * samples]) == [(x - 128) * 256 for x in read]
zeros = set(cu8[2 * samples:]) == {128} and set(cs16[2 * samples:]) == {0} and set(cf32[2 * samples:]) == {0.0}
print(f"{samples} samples read; more were written: {more}; the others are kept: {kept}; those more are zeros: {zeros}")
sys.exit(not (set(more.values()) == {131072} and kept and zeros))
PYTHON
mount -t proc proc "$root/proc"
trap 'umount "$root/proc"; rm -rf --one-file-system "$root"' EXIT
timeout 120 chroot "$root" /usr/bin/python3 /see.py
