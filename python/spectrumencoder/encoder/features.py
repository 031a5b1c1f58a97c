# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of the `features` stream: 256 floats per frame, each place named once.

VARIANT, POLICY and DTYPE say how the frame was encoded. They are indices into the model file's variants, `config.POLICIES` and
`DTYPES`. The detector uses them to find the frame's conformal table.
"""

N_FEATURES = 256
LOGIT = 0  # anomaly logit of the head
K_KEPT = 1  # tokens kept by the dropout rate, a part of the table's key
K_EFF = 2  # windows averaged
FLOOR_DBFS = 3
KEEP_STATS = slice(4, 12)  # keep score: mean, std, min, max of the kept; mean, std, min, max of the dropped (0 when none)
SKIPPED = 12  # 1 if the frame passed unencoded
VARIANT = 13
POLICY = 14
DTYPE = 15
EMBEDDING = slice(16, 144)  # zero padded
PROBABILITIES = slice(144, 208)  # calibrated class probabilities in the order of the labels, zero padded
ANSWERED_BY = 208  # source of EMBEDDING and PROBABILITIES: 0 for a single model; in an ensemble 0 is `fast`, 1 is `large`
CLIPPED_SHARE = 209  # share of the frame's samples at full scale, 0..1; of skipped frames too
K_ENCODED = 210  # tokens that were encoded: K_KEPT; fewer in a quiet frame of adaptive dropout, 0 if it repeats the last answer

DTYPES = FP32, BF16, INT8 = ("fp32", "bf16", "int8")
