# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed, energy and memory: one file per bench, run by ``spectrumencoder bench``; ``report`` makes the page of their files."""
