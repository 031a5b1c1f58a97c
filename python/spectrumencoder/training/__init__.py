# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: makes a model file from labelled recordings and simulated scenes."""
