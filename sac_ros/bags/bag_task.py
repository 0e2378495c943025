"""The task of a bag, and the names of its topics in the bag."""

from collections.abc import Sequence
from pathlib import Path

from sac_ros.bags.bag_reader import Bag, BagError
from sac_ros.bags.recorded_run import TopicNames
from sac_ros.bags.topic_name import full_topic_name, parse_remaps
from sac_ros.errors import InputError
from sac_ros.policy.contract import PolicyContract
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import TaskSpec, load_task


def task_from_options(policy: Path | None, task_name: str) -> TaskSpec | None:
    """Return the task given by options, or None to use the bag's own; raise InputError."""
    task = load_task(task_name) if task_name else None
    if policy is None:
        return task
    expected = None if task is None else task.fingerprint
    loaded = OnnxPolicy.load(policy, expected_fingerprint=expected)
    return task or loaded.task


def topic_names(
    task: TaskSpec | None, namespace: str, node: str, remaps: Sequence[str]
) -> TopicNames:
    """Return the full names of the task's topics, as the nodes would resolve them."""
    renamed = parse_remaps(remaps)

    def full(topic: str) -> str:
        return full_topic_name(topic, namespace, renamed)

    return TopicNames(
        sensors={} if task is None else {full(r.topic): r.topic for r in task.readings},
        command="" if task is None else full(task.action.topic),
        transitions=full(f"{node}/transitions"),
        estopped=full(f"{node}/estopped"),
        contract=full(f"{node}/contract"),
    )


def recorded_contracts(bag: Bag, topic: str) -> list[PolicyContract]:
    """Return the policy contracts in the bag; raise BagError for an invalid one."""
    contracts = []
    for message in bag.messages({topic}):
        try:
            contracts.append(PolicyContract.from_json(message.content.data))  # type: ignore[attr-defined]
        except InputError as error:
            raise BagError(
                f"{topic} in {bag.path} is not a policy contract: {error}; check --policy-node"
            ) from error
    return contracts


def refuse_unless_recorded(bag: Bag, task: TaskSpec, names: TopicNames) -> None:
    """Raise BagError if a topic of the task is missing in the bag or has another type."""
    types: dict[str, str] = {reading.topic: reading.type for reading in task.readings}
    wanted = {full: types[topic] for full, topic in names.sensors.items()}
    wanted[names.command] = task.action.type
    for topic, type_name in wanted.items():
        found = bag.topics.get(topic)
        if found is None:
            raise BagError(
                f"the bag {bag.path} has no topic {topic}, only {sorted(bag.topics)}; use"
                " --namespace and --remap to name the task's topics in the bag"
            )
        if found != type_name:
            raise BagError(
                f"{topic} in {bag.path} is of type {found}, but task {task.name!r} expects"
                f" {type_name}; give the right task, or --remap the topic"
            )
