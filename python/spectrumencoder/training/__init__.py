# SPDX-License-Identifier: GPL-3.0-or-later
"""From labelled recordings and simulated scenes to a model file."""
