# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of a GPU: the same answers as the CPU, speed, streaming, memory, training. `tools/gpu_check.py` runs it.

Nothing here needs GNU Radio, the C++ library or a network. Each part is a file with a function `run`. It runs in a process of
its own under a time limit (`check`). Every part also runs on a CPU, with small sizes in the tests.
"""
