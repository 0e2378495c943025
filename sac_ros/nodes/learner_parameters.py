"""The learner node's parameters: declared with unit and range, read once into a frozen record."""

from dataclasses import dataclass
from pathlib import Path

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from sac_ros.nodes.node_parameters import ParameterError
from sac_ros.policy.policy_update import read_key
from sac_ros.sac.fine_tuning_config import FineTuningConfig
from sac_ros.task.package_share import package_share
from sac_ros.task.strict_yaml import read_yaml


@dataclass(frozen=True, kw_only=True)
class LearnerParameters:
    """What `learner_node` was told; the descriptors below explain each."""

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


def declare_learner_parameters(node: Node) -> None:
    """Declare every parameter of the learner node with its description and range."""
    texts = {
        "policy": ("", "Path of the policy (.onnx) that the robot runs: its task and contract."),
        "checkpoint": (
            "",
            "Checkpoint folder of the training that made the policy, such as runs/hc1/checkpoint:"
            " networks, targets, temperature and optimiser moments. Empty only with from_scratch.",
        ),
        "config": (
            "",
            "The recipe, a YAML file; empty: the package's config/fine_tuning.yaml, or"
            " config/from_scratch.yaml with from_scratch.",
        ),
        "out": ("runs/robot", "Folder of this robot: transitions, learner, episodes.csv."),
        "prior_transitions": (
            "",
            "Folder of transitions to mix into the batches in place of the checkpoint's, as"
            " sac-ros bag-to-buffer writes it.",
        ),
        "policy_node": ("policy_node", "Name of the node that runs the policy."),
        "key_file": (
            "",
            "File, readable by its owner alone, with the key (32 bytes or more) to sign policies"
            " with.",
        ),
    }
    for name, (default, description) in texts.items():
        node.declare_parameter(name, default, ParameterDescriptor(description=description))
    flags = {
        "from_scratch": (
            False,
            "Learn without a checkpoint, from new networks with layer-normalised critics.",
        ),
        "prior": (True, "Mix the checkpoint's transitions into the batches, as the recipe says."),
        "compiled": (True, "Run each update as one compiled function, while the robot warms up."),
    }
    for flag, (is_set, description) in flags.items():
        node.declare_parameter(flag, is_set, ParameterDescriptor(description=description))
    node.declare_parameter(
        "seed",
        0,
        ParameterDescriptor(
            description="Seed of networks and of sampling from the buffers.",
            integer_range=[IntegerRange(from_value=0, to_value=2**31 - 1, step=1)],
        ),
    )
    node.declare_parameter(
        "niceness",
        10,
        ParameterDescriptor(
            description="How far this process stands behind all others for the processor, 0 to 19.",
            integer_range=[IntegerRange(from_value=0, to_value=19, step=1)],
        ),
    )
    node.declare_parameter(
        "keep_policies",
        16,
        ParameterDescriptor(
            description="How many of the newest policy files are kept in OUT/policies.",
            integer_range=[IntegerRange(from_value=1, to_value=1_000_000, step=1)],
        ),
    )
    node.declare_parameter(
        "publish_period_s",
        2.0,
        ParameterDescriptor(
            description="Least time between two policies, in s; one follows the end of an episode.",
            floating_point_range=[FloatingPointRange(from_value=0.0, to_value=3600.0, step=0.0)],
        ),
    )


def read_learner_parameters(node: Node) -> LearnerParameters:
    """Return the parameters; raise ParameterError, ConfigError or KeyFileError."""
    policy, checkpoint = _path(node, "policy"), _path(node, "checkpoint")
    is_from_scratch = bool(node.get_parameter("from_scratch").value)
    if policy is None:
        raise ParameterError("parameter 'policy' is empty; give the file that the robot runs")
    if (checkpoint is None) is not is_from_scratch:
        raise ParameterError(
            "parameter 'checkpoint' is empty; give the folder of the training that made the policy,"
            " or set from_scratch"
            if checkpoint is None
            else "both 'checkpoint' and 'from_scratch' are set; drop one of them"
        )
    key_file = _path(node, "key_file")
    preset = "from_scratch.yaml" if is_from_scratch else "fine_tuning.yaml"
    recipe = _path(node, "config") or package_share() / "config" / preset
    return LearnerParameters(
        policy=policy,
        checkpoint=checkpoint,
        config=read_yaml(recipe, FineTuningConfig),
        out=_path(node, "out") or Path("runs/robot"),
        policy_node=str(node.get_parameter("policy_node").value),
        uses_prior=bool(node.get_parameter("prior").value),
        prior_transitions=_path(node, "prior_transitions"),
        key=None if key_file is None else read_key(key_file),
        seed=int(node.get_parameter("seed").value),
        publish_period_s=float(node.get_parameter("publish_period_s").value),
        keep_policies=int(node.get_parameter("keep_policies").value),
        compiled=bool(node.get_parameter("compiled").value),
    )


def _path(node: Node, name: str) -> Path | None:
    text = str(node.get_parameter(name).value)
    return Path(text).expanduser() if text else None
