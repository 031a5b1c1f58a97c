#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# rtl_433 that converts cu8 to cf32 and back (-r IN -w OUT) gives other samples: the two ways have different scales.
#
# Seen: rtl_433 22.11 of Debian 12 and 25.02 of Debian 13.
# * cu8 to cf32 is (x - 128) / 128, and to cs16 (x - 128) * 256. Back from cs16 every value is what it was.
# * Back from cf32 every value but 128 has moved by one towards 128: 0 comes as 1, 127 as 128, 200 as 199, 255 as 254. So an
#   archive kept as cf32 does not give the recording again, and 127 and 128 are one value then.
# Beside that, recordings of an RTL-SDR have their zero at 127.4: what rtl_433 writes has a line at 0 Hz of -47 dB of full scale.
#
# Usage, as root with debootstrap: findings/rtl_433_cf32_comes_back_changed.sh [bookworm|trixie]; exit status 0: still as described.
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
import subprocess
import sys

every = list(range(256)) * 2048
with open("/in_433.92M_250k.cu8", "wb") as file:
    file.write(bytes(every))


def converted(source, target):
    subprocess.run(["rtl_433", "-R", "0", "-r", source, "-w", target], capture_output=True, timeout=60, check=True)
    return open(target, "rb").read()


back = {}
for name in ("cs16", "cf32"):
    written = array.array({"cs16": "h", "cf32": "f"}[name], converted("/in_433.92M_250k.cu8", f"/on_433.92M_250k.{name}"))
    scale = {"cs16": 256, "cf32": 1 / 128}[name]
    print(name, "is (x - 128) *", scale, ":", list(written[:256]) == [(x - 128) * scale for x in range(256)])
    back[name] = list(converted(f"/on_433.92M_250k.{name}", f"/back_of_{name}_433.92M_250k.cu8")[:256])
changed = {x: y for x, y in enumerate(back["cf32"]) if x != y}
print("back from cs16, changed:", [x for x, y in enumerate(back["cs16"]) if x != y])
print("back from cf32, changed:", len(changed), "of 256, such as", {x: changed.get(x, x) for x in (0, 1, 127, 128, 200, 255)})
sys.exit(not (back["cs16"] == list(range(256)) and back["cf32"][0] == 1 and back["cf32"][127] == back["cf32"][128] == 128
              and back["cf32"][255] == 254))
PYTHON
mount -t proc proc "$root/proc"
trap 'umount "$root/proc"; rm -rf --one-file-system "$root"' EXIT
timeout 120 chroot "$root" /usr/bin/python3 /see.py
