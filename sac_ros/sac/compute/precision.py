"""In which precision an update multiplies matrices, and which of them a processor is good at."""

from typing import Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["float32", "bfloat16"]


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether matrix products in bfloat16 have instructions of their own there.

    Without them they are slower than in float32, being made of conversions.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def matmul_precision(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the region in which hidden layers multiply in that precision; sums stay float32.

    Weights, moments, losses and everything else stay float32 wherever it is used.
    """
    # Without torch's cache of converted weights: the critics change within one update.
    return torch.autocast(
        device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False
    )
