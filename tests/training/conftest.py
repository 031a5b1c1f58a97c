# SPDX-License-Identifier: GPL-3.0-or-later
"""A labelled corpus of a few small recordings made by the simulator, and a configuration that trains in seconds."""

import json

import numpy as np
import pytest
from gnuradio.spectrumencoder.simulate.waveforms import WAVEFORMS

RATE = 1e6
RECORDINGS = {"a_noise_01": (None, "noise-only"), "a_tone_01": ("tone", "GSM"), "a_fsk_01": ("fsk_sensor", "ISM-sensor-FSK"),
              "b_fsk_01": ("fsk_sensor", "ISM-sensor-FSK"), "a_lora_01": ("lora", "LoRa"), "b_lora_01": ("lora", "LoRa")}


@pytest.fixture(scope="session")
def mini_corpus(tmp_path_factory):
    """Folder of six cf32 recordings, 1 MS/s, 0.13 s each, labelled as the project's corpus is."""
    folder = tmp_path_factory.mktemp("mini_corpus")
    n = 2**17
    for number, (name, (waveform, cls)) in enumerate(RECORDINGS.items()):
        rng = np.random.default_rng(number)
        iq = rng.standard_normal((n, 2), np.float32).view(np.complex64)[:, 0] * np.float32(0.01)
        if waveform:
            iq += 0.2 * WAVEFORMS[waveform].function(rng, n, RATE)
        iq.astype(np.complex64).tofile(folder / f"{name}.sigmf-data")
        meta = {"global": {"core:datatype": "cf32_le", "core:sample_rate": RATE, "core:version": "1.2.0"},
                "captures": [{"core:sample_start": 0, "core:frequency": 868e6}],
                "annotations": [{"core:sample_start": 0, "core:sample_count": n, "core:label": cls,
                                 "core:comment": f"whole file; family=ism; class={cls}"}]}
        (folder / f"{name}.sigmf-meta").write_text(json.dumps(meta))
    return folder


@pytest.fixture
def mini_config():
    return {"encoder": {"fft_size": 128, "width": 16, "layers": 1, "heads": 2, "kv_heads": 1, "mlp_width": 32, "score_width": 4,
                        "keep_choices": [4, 8, 12, 16], "latents": 2, "latent_width": 4, "decoder_width": 32, "embedding": 8},
            "data": {"mix": [0.6, 0.0, 0.2, 0.1, 0.1, 0.0]},
            "training": {"name": "mini", "seed": 3, "steps": 12, "variant_steps": 6, "batch": 16, "shards": 2, "shard_size": 64,
                         "steps_per_shard": 4, "warmup": 2, "checkpoint_seconds": 0.0, "keep_weights": [0.25, 0.25, 0.25, 0.25],
                         "holdout": ["b_*"], "table_frames": 0, "workers": 0,
                         "variants": [["softmax", "dynamic"], ["grouped", "dynamic"]]}}
