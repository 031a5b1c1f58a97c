# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of the `features` stream: 256 floats a frame, each place named once."""

N_FEATURES = 256
LOGIT = 0  # anomaly logit of the head
K_KEPT = 1  # tokens kept
K_EFF = 2  # windows averaged
FLOOR_DBFS = 3
KEEP_STATS = slice(4, 12)  # keep score: mean, std, min, max of the kept; mean, std, min, max of the dropped (0 when none)
SKIPPED = 12  # 1 where the frame passed unencoded
EMBEDDING = slice(16, 144)  # zero padded
PROBABILITIES = slice(144, 208)  # calibrated class probabilities in the order of the labels, zero padded
