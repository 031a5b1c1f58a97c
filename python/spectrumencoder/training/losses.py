# SPDX-License-Identifier: GPL-3.0-or-later
"""The training losses: class (also from the latents alone), reconstruction of the clean spectrum, and anomaly.

Each is averaged over its frames. Distillation adds the teacher's probabilities."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..encoder.encoder import Encoded

RESIDUAL_CLAMP = 30.0  # dB: a receiver's spur or a notch must not dominate the gradient


def losses(out: Encoded, target: torch.Tensor, label: torch.Tensor, anomaly: torch.Tensor, *,
           smoothing: float, undecided: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Parts of the loss, each a scalar.

    Args:
        target: (B, N) clean level in dB over the frame's floor. For a frame with an injected anomaly this is the level
            *without* it: the network learns to reconstruct what belongs and to leave the rest in the residual.
        label: (B,) int64, -1 for none. Frames with an anomaly give no class loss.
        anomaly: (B,) float, 1 if an anomaly was injected.
        undecided: (B,) bool, frames that the anomaly head does not learn from.
    """
    deviation = (target - out.mean_db.float()).clamp(-RESIDUAL_CLAMP, RESIDUAL_CLAMP)
    log_sigma = out.log_sigma.float()
    likelihood = 0.5 * (deviation / log_sigma.exp()).square() + log_sigma
    # weighted by sigma (beta-NLL with beta = 0.5, Seitzer et al., arXiv:2203.09168): otherwise a large sigma hides a poor mean
    reconstruction = (log_sigma.exp().detach() * likelihood).mean()
    scored = torch.where(anomaly > 0, torch.full_like(label, -1), label)
    classes = F.cross_entropy(out.class_logits.float(), scored, ignore_index=-1, label_smoothing=smoothing)
    if not (scored >= 0).any():
        classes = classes.nan_to_num(0.0)
    parts = {"reconstruction": reconstruction, "classes": classes}
    from_latents = F.cross_entropy(out.latent_logits.float(), scored, ignore_index=-1, label_smoothing=smoothing)
    parts["latents"] = from_latents if (scored >= 0).any() else from_latents.nan_to_num(0.0)
    head = F.binary_cross_entropy_with_logits(out.anomaly_logit.float(), anomaly, reduction="none")
    head = head.mean() if undecided is None else (head * ~undecided).sum() / (~undecided).sum().clamp(min=1)
    return parts | {"anomaly": head}


def token_losses(logits: torch.Tensor, label: torch.Tensor, boundary: torch.Tensor) -> torch.Tensor:
    """Loss of the tokens' classes and boundaries, a scalar.

    A class weighs as the root of its number of tokens in the batch: otherwise empty tokens, the largest number, would be all.

    Args:
        logits: (B, M, labels + 2), see encoder.heads.TokenHead. label: (B, M) int64, -1 for none. boundary: (B, M), 0, 1 or -1.
    """
    logits, known = logits.float(), label >= 0
    counts = torch.bincount(label[known], minlength=logits.shape[-1] - 1).float()
    weight = counts.clamp(min=1.0).rsqrt()
    classes = F.cross_entropy(logits[..., :-1].flatten(0, 1), label.flatten(), weight=weight, ignore_index=-1,
                              label_smoothing=0.02)
    told = boundary >= 0
    edges = F.binary_cross_entropy_with_logits(logits[..., -1], boundary.float().clamp(min=0.0), reduction="none",
                                               pos_weight=torch.tensor(4.0, device=logits.device))
    edges = (edges * told).sum() / told.sum().clamp(min=1)
    return (classes if known.any() else classes.nan_to_num(0.0)) + 0.3 * edges


def imitation(logits: torch.Tensor, teacher: torch.Tensor, anomaly: torch.Tensor, temperature: float) -> torch.Tensor:
    """Distillation loss (Hinton et al., arXiv:1503.02531).

    It is the mean KL divergence of the softened class probabilities (B, labels) from the teacher's, times the temperature
    squared. Frames with an injected anomaly do not count."""
    clean = anomaly == 0
    if not clean.any():
        return logits.sum() * 0.0
    student = F.log_softmax(logits[clean].float() / temperature, dim=1)
    return temperature**2 * F.kl_div(student, F.log_softmax(teacher[clean].float() / temperature, dim=1), log_target=True,
                                     reduction="batchmean")
