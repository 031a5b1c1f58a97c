# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy on held-out recordings, and ways to run a model against each other."""
