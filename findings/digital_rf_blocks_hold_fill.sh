#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# digital_rf 2.6.14: the blocks of a continuous channel hold samples that nobody wrote, and nothing marks them.
#
# A writer with its default, is_continuous=True, was given two runs of 300 samples with a gap of 200 between them: 1000 + 0j
# throughout, int16. The channel has files of one second, 1000 samples. Seen:
# * get_bounds() and get_continuous_blocks() agree on one block, the whole file: it holds what lies before the first sample, the
#   gap, and what lies after the last one. Neither raises nor marks anything.
# * read_vector_raw() and read_vector() give -32768 - 32768j there: a sample at full scale, at the edges of 16 bits.
# * With is_continuous=False the blocks are the two runs that were written.
# So blocks tell what was written only of a gapped channel. Cure: look for the fill value, or write with is_continuous=False.
#
# Usage: findings/digital_rf_blocks_hold_fill.sh; needs Python 3.11 to 3.13. Exit status 0: still as described.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-/usr/bin/python3} -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install digital_rf==2.6.14 numpy==2.2.6 h5py==3.14.0
cat >"$folder/see.py" <<'PYTHON'
import sys
from pathlib import Path

import digital_rf
import numpy as np

RATE, START, RUN = 1000, 1_700_000_000 * 1000 + 100, 300  # 0.1 s into a second
SAMPLES = np.full((RUN, 2), (1000, 0), np.int16)


def written(folder: Path, continuous: bool):
    folder.mkdir(parents=True)
    writer = digital_rf.DigitalRFWriter(str(folder), np.int16, 3600, 1000, START, RATE, 1, uuid_str="x", is_complex=True,
                                        is_continuous=continuous, marching_periods=False)
    writer.rf_write(SAMPLES, 0)
    writer.rf_write(SAMPLES, 500)  # 200 samples between them are not written
    writer.close()
    reader = digital_rf.DigitalRFReader(str(folder.parent))
    return reader, reader.get_continuous_blocks(*reader.get_bounds("ch"), "ch")


reader, blocks = written(Path(sys.argv[1]) / "continuous" / "ch", True)
first, last = reader.get_bounds("ch")
raw = reader.read_vector_raw(first, last - first + 1, "ch")
pairs = np.stack([raw["r"], raw["i"]], axis=1).reshape(-1, 2) if raw.dtype.names else raw.reshape(-1, 2)
fill = int(np.sum((pairs == -32768).all(axis=1)))
print(f"digital_rf {digital_rf.__version__}, continuous: blocks {[(s - START, n) for s, n in blocks.items()]}, {len(pairs)} samples, "
      f"{len(pairs) - fill} of them written, {fill} are -32768 - 32768j")
value = complex(reader.read_vector(first, 10, "ch").reshape(-1)[0])
_, gapped = written(Path(sys.argv[1]) / "gapped" / "ch", False)
print(f"gapped: blocks {[(s - START, n) for s, n in gapped.items()]}; read_vector gives {value} for fill")
sys.exit(not (len(blocks) == 1 and fill == len(pairs) - 2 * RUN > 0 and value == -32768 - 32768j
              and list(gapped.values()) == [RUN, RUN]))
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/see.py" "$folder/data"
