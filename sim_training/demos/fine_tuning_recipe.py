"""The learner's settings for a demonstration of fine-tuning."""

from pathlib import Path

import yaml

from sac_ros.task.package_share import package_share

CHANGES = {
    "warmup_steps": 500,
    "critic_steps": 500,
    "prior_anneal_steps": 4000,
    # As config/inverted_pendulum_demo.yaml trains, and for its reasons.
    "actor_learning_rate": 1.0e-3,
    "critic_learning_rate": 3.0e-3,
    "target_entropy": -2.0,
    "tau": 0.05,
    "buffer_capacity": 100_000,
}


def write_recipe(path: Path) -> Path:
    """Write config/fine_tuning.yaml, changed for a task that is learned within minutes."""
    recipe = yaml.safe_load((package_share() / "config" / "fine_tuning.yaml").read_text())
    path.write_text(yaml.safe_dump(recipe | CHANGES, sort_keys=False))
    return path
