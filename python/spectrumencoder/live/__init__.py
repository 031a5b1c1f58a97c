# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running radio needs beside the chain: scan plans, sweeps, samples from before an event. No GNU Radio in here."""
