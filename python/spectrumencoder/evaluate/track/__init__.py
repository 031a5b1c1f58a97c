# SPDX-License-Identifier: GPL-3.0-or-later
"""The tracker on real flights and simulated emissions, beside other trackers."""
