# SPDX-License-Identifier: GPL-3.0-or-later
"""Small untrained model files for tests that need weights of some kind, not of a good kind."""

import torch
from gnuradio.spectrumencoder.encoder.config import POLICIES, EncoderConfig
from gnuradio.spectrumencoder.encoder.encoder import SpectrumEncoder
from gnuradio.spectrumencoder.encoder.model_file import save

SMALL_FFT = 128


def write_small_model(path, name, seed, variants=(("softmax", "dynamic"), ("softmax", "static")), contract=(), sharpness=1.0,
                      **config):
    """Write a model file for frames of 128 bins; returns its path as text.

    Args:
        contract: entries that replace those of the contract. sharpness: factor on the class weights: how sure it is.
        config: fields of EncoderConfig that replace the small ones.
    """
    small = dict(fft_size=SMALL_FFT, width=16, layers=1, heads=2, kv_heads=1, mlp_width=32, score_width=4, latents=2,
                 keep_choices=(4, 8, 12, 16), latent_width=4, decoder_width=32, embedding=8, labels=("noise", "LoRa", "BLE"))
    small |= config
    torch.manual_seed(seed)
    tensors, rows = {}, []
    for attention, rope in variants:
        row = {"name": f"{attention}-{rope}", "attention": attention, "rope": rope}
        network = SpectrumEncoder(EncoderConfig(**small, attention=attention, rope=rope))
        with torch.no_grad():
            network.heads.classes.weight *= sharpness
        tensors |= {f"weights.{row['name']}.{key}": value.numpy() for key, value in network.state_dict().items()}
        rows.append(row)
    encoder = EncoderConfig(**small)
    entries = {"name": name, "encoder": encoder.to_dict(), "variants": rows, "policies": list(POLICIES),
               "default_policy": "gumbel", "labels": list(encoder.labels), "bands": list(encoder.bands), "average": [1, 32],
               "rates": [0.0, 0.25, 0.5, 0.75],
               "steps": 1, "heads": {"classes": True, "anomaly": True}}
    save(path, entries | dict(contract), tensors)
    return str(path)
