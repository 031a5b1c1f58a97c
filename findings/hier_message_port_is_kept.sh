#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU Radio 3.10 never frees a hier block whose message ports are connected inside, and keeps the buffers of its flowgraph with it.
#
# Seen: GNU Radio 3.10.5.1 of Debian 12 and 3.10.12.0 of Debian 13, with blocks of GNU Radio alone.
# * A flowgraph with a hier block that has no message port: the process has as many memory mappings after 31 runs as after one.
# * The same with message_port_register_hier_in and msg_connect(self, "in", block, "print") inside: mappings grow with every run.
# * msg_disconnect of a connection from the hier block's own *input* raises "Port does not exist", so nothing can undo it.
#   One to its own *output* can be undone.
# * disconnect_all() of the hier block frees its streams, and leaves what message connections name.
# A process that runs many flowgraphs, one after the other, ends with std::bad_alloc. Cure: connect message inputs of a hier block to
# blocks without streams only (a relay), and undo all other message connections, then call disconnect_all().
#
# Usage, as root with debootstrap: findings/hier_message_port_is_kept.sh [bookworm|trixie]; exit status 0: still as described.
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
import gc
import sys

from gnuradio import blocks, gr


class hier(gr.hier_block2):
    def __init__(self, with_port):
        gr.hier_block2.__init__(self, "hier", gr.io_signature(1, 1, 8), gr.io_signature(0, 0, 0))
        self.sink, self.debug = blocks.null_sink(8), blocks.message_debug()
        self.connect(self, self.sink)
        if with_port:
            self.message_port_register_hier_in("in")
            self.msg_connect(self, "in", self.debug, "print")


def mappings_added(with_port):
    counts = []
    for _ in range(31):
        top, head, inner = gr.top_block(), blocks.head(8, 1000), hier(with_port)
        top.connect(blocks.null_source(8), head, inner)
        top.run()
        del top, head, inner
        gc.collect()
        with open("/proc/self/maps") as maps:
            counts.append(sum(1 for _ in maps))
    return counts[-1] - counts[0]


block = hier(True)
try:
    block.msg_disconnect(block, "in", block.debug, "print")
    undone = "no error"
except RuntimeError as error:
    undone = str(error).strip()
without, within = mappings_added(False), mappings_added(True)
print(f"GNU Radio {gr.version()}: 30 more runs add {without} mappings without a message port, {within} with one; msg_disconnect: {undone}")
sys.exit(not (without <= 4 and within >= 60 and "Port does not exist" in undone))
PYTHON
mount -t proc proc "$root/proc"
trap 'umount "$root/proc"; rm -rf --one-file-system "$root"' EXIT
timeout 120 chroot "$root" /usr/bin/python3 /see.py
