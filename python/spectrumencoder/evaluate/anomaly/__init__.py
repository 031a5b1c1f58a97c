# SPDX-License-Identifier: GPL-3.0-or-later
"""The detector on injected anomalies, beside other detectors and a bound; false events in hours without anomalies."""
