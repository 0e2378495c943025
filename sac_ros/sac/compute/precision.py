"""The precision of matrix products, and whether a processor has fast bfloat16."""

from typing import Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["float32", "bfloat16"]


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether the device has native instructions for bfloat16 matrix products.

    Without them bfloat16 is slower than float32, because every operand is converted.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def matmul_precision(precision: Precision, device: torch.device) -> torch.autocast:
    """Return an autocast context for matrix products in this precision.

    Sums, weights, optimiser moments and losses stay float32.
    """
    # torch's cache of converted weights is off: the critics change within one update.
    return torch.autocast(
        device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False
    )
