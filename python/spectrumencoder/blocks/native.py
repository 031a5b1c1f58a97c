# SPDX-License-Identifier: GPL-3.0-or-later
"""The block written in C++, `fft_tokenizer`. Importing this raises a one-line ImportError when the compiled module is missing."""

from ..tokens.tokenize import native_module

fft_tokenizer = native_module().fft_tokenizer

__all__ = ["fft_tokenizer"]
