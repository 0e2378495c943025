"""The learner node's parameters: declared with unit and range, read once into a frozen record."""

from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node

from sac_ros.nodes.process.parameter_table import (
    SEED_RANGE,
    Parameter,
    ParameterError,
    count,
    flag,
    niceness,
    number,
    path,
    text,
)
from sac_ros.policy.updates.policy_update import read_key
from sac_ros.sac.on_robot.fine_tuning_config import FineTuningConfig
from sac_ros.task.package_share import package_share
from sac_ros.task.strict_yaml import read_yaml


@dataclass(frozen=True, kw_only=True)
class LearnerParameters:
    """What `learner_node` was told; the table below explains each."""

    policy: Path
    checkpoint: Path | None
    config: FineTuningConfig
    out: Path
    policy_node: str
    uses_prior: bool
    prior_transitions: Path | None
    key: bytes | None
    seed: int
    publish_period_s: float
    keep_policies: int
    compiled: bool


PARAMETERS = (
    Parameter(
        "policy", "", "Path of the policy (.onnx) that the robot runs: its task and contract."
    ),
    Parameter(
        "checkpoint",
        "",
        "Checkpoint folder of the training that made the policy, such as runs/hc1/checkpoint:"
        " networks, targets, temperature and optimiser moments. Empty only with from_scratch.",
    ),
    Parameter(
        "from_scratch",
        False,
        "Learn without a checkpoint, from new networks with layer-normalised critics.",
    ),
    Parameter(
        "config",
        "",
        "The recipe, a YAML file; empty: the package's config/fine_tuning.yaml, or"
        " config/from_scratch.yaml with from_scratch.",
    ),
    Parameter("out", "runs/robot", "Folder of this robot: transitions, learner, episodes.csv."),
    Parameter(
        "prior", True, "Mix the checkpoint's transitions into the batches, as the recipe says."
    ),
    Parameter(
        "prior_transitions",
        "",
        "Folder of transitions to mix into the batches in place of the checkpoint's, as"
        " sac-ros bag-to-buffer writes it.",
    ),
    Parameter("policy_node", "policy_node", "Name of the node that runs the policy."),
    Parameter(
        "key_file",
        "",
        "File, readable by its owner alone, with the key (32 bytes or more) to sign policies with.",
    ),
    Parameter(
        "publish_period_s",
        2.0,
        "Least time between two policies, in s; one follows the end of an episode.",
        (0.0, 3600.0),
    ),
    Parameter(
        "keep_policies",
        16,
        "How many of the newest policy files are kept in OUT/policies.",
        (1, 1_000_000),
    ),
    Parameter(
        "compiled", True, "Run each update as one compiled function, while the robot warms up."
    ),
    Parameter("seed", 0, "Seed of networks and of sampling from the buffers.", SEED_RANGE),
    niceness(10),
)


def read_learner_parameters(node: Node) -> LearnerParameters:
    """Return the parameters; raise ParameterError, ConfigError or KeyFileError."""
    policy, checkpoint = path(node, "policy"), path(node, "checkpoint")
    is_from_scratch = flag(node, "from_scratch")
    if policy is None:
        raise ParameterError("parameter 'policy' is empty; give the file that the robot runs")
    if (checkpoint is None) is not is_from_scratch:
        raise ParameterError(
            "parameter 'checkpoint' is empty; give the folder of the training that made the policy,"
            " or set from_scratch"
            if checkpoint is None
            else "both 'checkpoint' and 'from_scratch' are set; drop one of them"
        )
    key_file = path(node, "key_file")
    preset = "from_scratch.yaml" if is_from_scratch else "fine_tuning.yaml"
    recipe = path(node, "config") or package_share() / "config" / preset
    return LearnerParameters(
        policy=policy,
        checkpoint=checkpoint,
        config=read_yaml(recipe, FineTuningConfig),
        out=path(node, "out") or Path("runs/robot"),
        policy_node=text(node, "policy_node"),
        uses_prior=flag(node, "prior"),
        prior_transitions=path(node, "prior_transitions"),
        key=None if key_file is None else read_key(key_file),
        seed=count(node, "seed"),
        publish_period_s=number(node, "publish_period_s"),
        keep_policies=count(node, "keep_policies"),
        compiled=flag(node, "compiled"),
    )
