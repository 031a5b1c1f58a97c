# SPDX-License-Identifier: GPL-3.0-or-later
"""Detections and position fixes become tracks that predict (the mathematics; the block is ``blocks.doma_tracker``)."""
