# SPDX-License-Identifier: GPL-3.0-or-later
"""The encoder's configuration: one frozen dataclass, stored as JSON inside every model file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from ..tokens.layout import FrameLayout

POLICIES = ("gumbel", "energy", "entropy", "random")
ATTENTION_FAMILIES = ("softmax", "grouped", "linear", "latent", "mhla")
ROPE_MODES = ("none", "static", "dynamic")
# Limits far beyond what a radio's band needs: a damaged file must not have memory allocated by it
MAX_SIZES = {"fft_size": 1 << 16, "stride": 1 << 16, "width": 4096, "layers": 256, "heads": 256, "kv_heads": 256, "kv_rank": 4096,
             "mhla_blocks": 1 << 16, "mlp_width": 1 << 16, "score_width": 4096, "sub_bands": 1 << 16, "token_share": 4096,
             "latents": 4096, "latent_width": 4096, "decoder_width": 1 << 16, "embedding": 128}
LARGEST_BATCH = 256  # max frames per forward pass of PyTorch


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that fixes the shape of a SpectrumEncoder.

    Raises:
        ValueError: a value is out of range or does not divide another.
    """

    # frame (must equal the tokenizer's)
    fft_size: int = 1024
    stride: int = 8
    window: str = "blackmanharris"

    # transformer
    width: int = 64
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2  # `grouped` family only
    kv_rank: int = 32  # `latent` family only: floats per token that all keys and values come from
    mhla_blocks: int = 8  # `mhla` family only: sub-bands, each with its own summary
    mlp_width: int = 192
    attention: str = "softmax"  # family: one of ATTENTION_FAMILIES
    rope: str = "dynamic"
    theta_static: float = 1e4
    band_token: bool = False  # add a vector for the band to the conditioning token (an alternative to a theta per band)

    # token dropout
    keep_choices: tuple[int, ...] = (32, 48, 64, 80, 96, 112, 128)
    score_width: int = 16
    sub_bands: int = 1  # background tokens: one mean of the dropped tokens for each of this many equal parts of the spectrum

    # bottleneck and reconstruction
    token_share: int = 8  # floats of each encoded token that enter the bottleneck in addition to the bins
    latents: int = 8
    latent_width: int = 12
    decoder_width: int = 256

    # heads
    embedding: int = 64
    labels: tuple[str, ...] = ()
    bands: tuple[str, ...] = ("ism", "cellular", "gnss", "aero", "unknown")
    token_classes: bool = False  # a class for every token, see `TokenHead`

    def __post_init__(self):
        self._check_types()
        if min(self.width, self.layers, self.heads, self.kv_heads, self.latents, self.latent_width) < 1:
            raise ValueError(f"width {self.width}, layers {self.layers}, heads {self.heads}, kv_heads {self.kv_heads}, latents "
                             f"{self.latents} and latent_width {self.latent_width} must be at least 1")
        if self.attention not in ATTENTION_FAMILIES:
            raise ValueError(f"attention {self.attention!r} is not one of {', '.join(ATTENTION_FAMILIES)}")
        FrameLayout(self.fft_size, self.stride)  # raises ValueError if they do not fit
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} does not divide width {self.width}")
        if self.head_width % 2:
            raise ValueError(f"width / heads = {self.head_width} must be even for rotary embedding")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} does not divide heads {self.heads}")
        if self.attention == "latent" and not 1 <= self.kv_rank <= self.width:
            raise ValueError(f"kv_rank {self.kv_rank} is outside 1..{self.width}, the width")
        fits = 1 <= self.mhla_blocks <= self.n_tokens // 2 and self.n_tokens % self.mhla_blocks == 0
        if self.attention == "mhla" and not fits:
            raise ValueError(f"mhla_blocks {self.mhla_blocks} must divide the {self.n_tokens} tokens into blocks of at least 2")
        if self.sub_bands < 1 or self.n_tokens % self.sub_bands:
            raise ValueError(f"sub_bands {self.sub_bands} must divide the {self.n_tokens} tokens")
        if self.attention == "mhla" and 1 + self.sub_bands > self.n_tokens // self.mhla_blocks:
            raise ValueError(f"sub_bands {self.sub_bands} and the conditioning token do not fit into a block of mhla, "
                             f"{self.n_tokens // self.mhla_blocks} tokens")
        if self.rope not in ROPE_MODES:
            raise ValueError(f"rope {self.rope!r} is not one of {', '.join(ROPE_MODES)}")
        if self.token_share < 1:
            raise ValueError(f"token_share {self.token_share} must be at least 1")
        if self.bands[-1:] != ("unknown",):
            raise ValueError(f"the last of bands {self.bands} must be 'unknown'")
        if not self.keep_choices or max(self.keep_choices) > self.n_tokens or min(self.keep_choices) < 1:
            raise ValueError(f"keep_choices {self.keep_choices} must lie in 1..{self.n_tokens}")
        if not 0 < self.embedding <= 128 or len(self.labels) > 64:
            raise ValueError(f"embedding {self.embedding} must be 1..128 and labels ({len(self.labels)}) at most 64")

    def _check_types(self):
        for name, limit in MAX_SIZES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
                raise ValueError(f"{name} {value!r:.60} is not a whole number within 0..{limit}")
        for name, kind in (("keep_choices", int), ("labels", str), ("bands", str)):
            values = getattr(self, name)
            if not isinstance(values, (list, tuple)) or not all(type(value) is kind for value in values):
                raise ValueError(f"{name} {values!r:.60} is not a list of {kind.__name__}")
            object.__setattr__(self, name, tuple(values))
        if not isinstance(self.theta_static, (int, float)) or not 1.0 <= self.theta_static <= 1e12:
            raise ValueError(f"theta_static {self.theta_static!r:.60} is not a number within 1..1e12")
        if not isinstance(self.attention, str) or not isinstance(self.rope, str):
            raise ValueError(f"attention {self.attention!r:.60} and rope {self.rope!r:.60} must be names")

    @property
    def n_tokens(self) -> int:
        return FrameLayout(self.fft_size, self.stride).n_tokens

    @property
    def token_dim(self) -> int:
        return FrameLayout(self.fft_size, self.stride).token_dim

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def keep_for_rate(self, rate: float) -> int:
        """The kept token count nearest to (1 - rate) of all tokens.

        Raises:
            ValueError: rate outside [0, 1).
        """
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"dropout rate {rate} is outside [0, 1)")
        return min(self.keep_choices, key=lambda k: (abs(k - (1.0 - rate) * self.n_tokens), -k))

    def to_dict(self) -> dict:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict) -> EncoderConfig:
        """Raises ValueError naming any key that this version does not know."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown encoder setting(s) {', '.join(sorted(unknown))}")
        return cls(**values)
