#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The sigmf package replaces core:version of metadata that it is given, in memory at once, and so in each copy that it writes.
#
# Seen: sigmf 1.14.0 (PyPI), on valid metadata.
# * SigMFFile(metadata=M) and sigmf.fromfile of a recording that states 1.0.0: get_global_field("core:version") is the version
#   of the specification that the package was made for (1.2.6).
# * A program that opens a recording, adds an annotation and writes it again states a version that nobody has checked the recording
#   against; which one its author wrote can no longer be known.
# * The file that was read stays as it was. Everything else of the metadata is kept.
# Cure: read the version from the JSON itself, and write it back after the object is made.
#
# Usage: findings/sigmf_states_its_own_version.sh; exit status 0: still as described.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check sigmf==1.14.0 2>"$work/log" || { tail -5 "$work/log" >&2; exit 2; }
cd "$work"
cat >see.py <<'PYTHON'
import hashlib
import json
import sys
from pathlib import Path

import sigmf

samples = bytes(8 * 64)
Path("r.sigmf-data").write_bytes(samples)
stated = {"global": {"core:datatype": "cf32_le", "core:version": "1.0.0", "core:sample_rate": 1000000,
                     "core:sha512": hashlib.sha512(samples).hexdigest()},
          "captures": [{"core:sample_start": 0}], "annotations": []}
Path("r.sigmf-meta").write_text(json.dumps(stated))
given = sigmf.SigMFFile(metadata=json.loads(json.dumps(stated))).get_global_field("core:version")
opened = sigmf.fromfile("r.sigmf-meta")
opened.add_annotation(0, 8, metadata={"core:label": "burst"})
opened.tofile("copy.sigmf-meta", overwrite=True)
copy = json.loads(Path("copy.sigmf-meta").read_text())
kept = json.loads(Path("r.sigmf-meta").read_text())["global"]["core:version"]
own = opened.get_global_field("core:version")
print(f"sigmf {sigmf.__version__}: 1.0.0 becomes {given} (metadata=), {own} (fromfile), {copy['global']['core:version']} (written); "
      f"the file itself says {kept}")
sys.exit(not (given == own == copy["global"]["core:version"] != "1.0.0" and kept == "1.0.0"
              and copy["global"]["core:sample_rate"] == 1000000 and copy["annotations"][0]["core:label"] == "burst"))
PYTHON
timeout 60 venv/bin/python see.py
