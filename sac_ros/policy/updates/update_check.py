"""Checks that a new policy must pass before it may replace the running one.

Shapes: n recent observations, O obs_dim, A action_dim.
"""

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.contract import PolicyMismatchError
from sac_ros.policy.onnx_file import PolicyFileError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_update import PolicyUpdate, PolicyUpdateError


def check_update(
    update: PolicyUpdate,
    running: OnnxPolicy,
    recent_obs: NDArray[np.float32],
    max_action_change: float,
) -> OnnxPolicy:
    """Return the update's policy, loaded and found fit; raise PolicyUpdateError with the reason.

    Fit means: sealed, finite, for the same task, its golden pairs reproduced on this machine, and
    over `recent_obs` [n, O] its most likely action differs from that of `running` by no more than
    `max_action_change` on average, in units of [-1, 1]. Uses both policies' sessions: none of them
    may be the one that the control loop uses at the same time.
    """
    try:
        policy = OnnxPolicy.from_bytes(update.policy, running.contract.task_fingerprint)
    except (PolicyFileError, PolicyMismatchError) as error:
        raise PolicyUpdateError(str(error)) from error
    change = action_change(running, policy, recent_obs)
    if not change <= max_action_change:
        raise PolicyUpdateError(
            f"its action differs by {change:.3f} on average from the running policy's over the last"
            f" {len(recent_obs)} observations, more than max_action_change {max_action_change}"
        )
    return policy


def action_change(before: OnnxPolicy, after: OnnxPolicy, obs: NDArray[np.float32]) -> float:
    """Return the mean distance between two policies' most likely actions over obs [n, O]."""
    if len(obs) == 0:
        return 0.0
    distances = [np.abs(after.mode(row) - before.mode(row)).mean() for row in obs]
    return float(np.mean(distances))
