# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration that trains in seconds on the small corpus of tests/conftest.py."""

import pytest


@pytest.fixture
def mini_config():
    return {"encoder": {"fft_size": 128, "width": 16, "layers": 1, "heads": 2, "kv_heads": 1, "mlp_width": 32, "score_width": 4,
                        "keep_choices": [4, 8, 12, 16], "latents": 2, "latent_width": 4, "decoder_width": 32, "embedding": 8},
            "data": {"mix": [0.6, 0.0, 0.2, 0.1, 0.1, 0.0]},
            "training": {"name": "mini", "seed": 3, "steps": 12, "variant_steps": 6, "chooser_steps": 5, "batch": 16,
                         "shards": 2, "shard_size": 64, "steps_per_shard": 4, "warmup": 2, "checkpoint_seconds": 0.0,
                         "keep_weights": [0.25, 0.25, 0.25, 0.25],
                         "holdout": ["b_*"], "table_frames": 0, "workers": 0,
                         "variants": [["softmax", "dynamic"], ["grouped", "dynamic"]]}}
