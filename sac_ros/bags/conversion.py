"""Convert bags to transitions in a log, and count what was used and what was left out."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from sac_ros.bags.bag_reader import Bag, BagError, open_bag
from sac_ros.bags.bag_task import recorded_contracts, refuse_unless_recorded, topic_names
from sac_ros.bags.comparison import Comparison
from sac_ros.bags.recorded_run import RecordedRun, TopicNames, read_run
from sac_ros.bags.replay import Replay, ReplayedStep
from sac_ros.bags.sampler import Sampler, Sampling
from sac_ros.nodes.messages.message_stamp import stamp_s
from sac_ros.sac.replay.transition_log import TransitionLog
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.transition import Transition

SPEED_SAMPLE = 1000
"""Number of sensor messages used to measure the speed of the robot's clock."""

StoreTransition = Callable[[Transition], None]


@dataclass(frozen=True, kw_only=True)
class ConversionSettings:
    """Settings of a conversion."""

    namespace: str
    policy_node: str
    remaps: tuple[str, ...]
    sampling: Sampling | None
    """None: by stamps if the node published them, otherwise by arrival."""
    run: Literal["episodes", "continuous"] | None
    """None: derived from the node's transitions; without transitions, episodes."""
    reward: Literal["task", "sent"]
    is_demonstration: bool


@dataclass
class Summary:
    """The result of a conversion; `sac-ros bag-to-buffer --json` prints it."""

    task: str
    fingerprint: str
    duration_s: float = 0.0
    commands: int = 0
    sent: int = 0
    """Transitions that the node published, as found in the bags."""
    not_computed: int = 0
    """Published transitions that could not be computed from the bags."""
    episodes: int = 0
    terminated: int = 0
    truncated: int = 0
    transitions: int = 0
    refused_sensor_messages: int = 0
    unreadable_transitions: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    sampling: dict[str, str] = field(default_factory=dict)
    """Path of the bag -> sampling."""
    cut_off_bags: list[str] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)


def task_of_bags(
    bags: list[Path], asked: TaskSpec | None, settings: ConversionSettings
) -> TaskSpec:
    """Return the common task of all bags; raise BagError if tasks differ or are unknown."""
    names = topic_names(None, settings.namespace, settings.policy_node, settings.remaps)
    found = asked
    for path in bags:
        with open_bag(path) as bag:
            for contract in recorded_contracts(bag, names.contract):
                if found is not None and contract.task_fingerprint != found.fingerprint:
                    raise BagError(
                        f"the policy in the bag {path} was for task {contract.task.name!r}"
                        f" ({contract.task_fingerprint[:12]}), expected {found.name!r}"
                        f" ({found.fingerprint[:12]}); convert this bag separately"
                    )
                found = found or contract.task
    if found is None:
        raise BagError(
            f"the task is unknown: no bag has a contract on {names.contract}; give --task or"
            " --policy"
        )
    return found


def convert(
    bags: list[Path],
    task: TaskSpec,
    settings: ConversionSettings,
    keep: StoreTransition,
    progress: Callable[[Path, float], None],
) -> Summary:
    """Compute the transitions of all bags and pass each to `keep`; raise BagError."""
    summary = Summary(task=task.name, fingerprint=task.fingerprint)
    names = topic_names(task, settings.namespace, settings.policy_node, settings.remaps)
    for path in bags:
        with open_bag(path) as bag:
            refuse_unless_recorded(bag, task, names)
            if bag.is_cut_off:
                summary.cut_off_bags.append(str(path))
            _convert_bag(bag, task, names, settings, keep, progress, summary)
    return summary


def _convert_bag(
    bag: Bag,
    task: TaskSpec,
    names: TopicNames,
    settings: ConversionSettings,
    keep: StoreTransition,
    progress: Callable[[Path, float], None],
    summary: Summary,
) -> None:
    run = read_run(bag, task, names)
    sampling = settings.sampling or ("stamps" if run.has_stamps else "arrival")
    if sampling == "stamps" and not run.has_stamps:
        raise BagError(
            f"the bag {bag.path} has no {names.transitions} with stamps; remove --sampling stamps"
        )
    replay = Replay(task, run, _time_limit(task, run, settings))
    sampler = Sampler(task, names.sensors, bag.messages(set(names.sensors)), sampling)
    steps = (
        replay.steps_by_stamps(sampler)
        if sampling == "stamps"
        else replay.steps_by_arrival(sampler, _speed(bag, _pacing_topic(task, names)))
    )
    offset, num_compared = summary.episodes, 0
    episodes: dict[int, int] = {}
    began_ns = run.ticks[0].received_ns
    for step in steps:
        number = episodes.setdefault(step.transition.episode, offset + len(episodes))
        transition = _apply_settings(step, settings, number)
        if step.sent is not None:
            summary.comparison.add(step.transition, step.sent)
            num_compared += 1
        keep(transition)
        summary.transitions += 1
        summary.terminated += transition.terminated
        summary.truncated += transition.truncated
        if summary.transitions % 1000 == 0 and bag.duration_s > 0.0:
            progress(bag.path, 1e-9 * (sampler.newest_ns - began_ns) / bag.duration_s)
    summary.episodes += len(episodes)
    summary.duration_s += bag.duration_s
    summary.commands += sum(tick.command is not None for tick in run.ticks)
    summary.sent += run.num_sent
    summary.not_computed += run.num_sent - num_compared
    summary.unreadable_transitions += run.num_unreadable
    summary.refused_sensor_messages += sampler.num_refused
    for reason, count in replay.left_out.items():
        summary.left_out[reason] = summary.left_out.get(reason, 0) + count
    summary.sampling[str(bag.path)] = sampling


def _apply_settings(step: ReplayedStep, settings: ConversionSettings, episode: int) -> Transition:
    transition = replace(step.transition, episode=episode)
    if settings.reward == "sent":
        if step.sent is None:
            raise BagError(
                "--reward sent needs a published transition for every step, but the bag lacks some;"
                " use --reward task"
            )
        transition = replace(transition, reward=step.sent.reward)
    if settings.is_demonstration:
        # Demonstrations count as interventions of a person; no policy version acted.
        transition = replace(transition, intervention=True, policy=0)
    return transition


def _time_limit(task: TaskSpec, run: RecordedRun, settings: ConversionSettings) -> int | None:
    """Return the run's time limit in steps; None if it had none."""
    mode = settings.run
    if mode is None and run.num_sent:
        sent = [tick.sent for tick in run.ticks if tick.sent is not None]
        is_limited = not any(step.step >= task.max_episode_steps for step in sent)
        mode = "episodes" if is_limited else "continuous"
    return None if mode == "continuous" else task.max_episode_steps


def _pacing_topic(task: TaskSpec, names: TopicNames) -> str:
    return next(full for full, name in names.sensors.items() if name == task.pace.topic)


def _speed(bag: Bag, topic: str) -> float:
    """Return the speed of the robot's clock: robot seconds per recorder second."""
    sample = list(islice(bag.messages({topic}), SPEED_SAMPLE))
    stamps_s = [stamp_s(message.content, math.nan) for message in sample]
    if len(sample) < 2 or any(math.isnan(stamp) for stamp in stamps_s):
        return 1.0
    passed_s = 1e-9 * (sample[-1].received_ns - sample[0].received_ns)
    speed = (stamps_s[-1] - stamps_s[0]) / passed_s if passed_s > 0.0 else 1.0
    return speed if speed > 0.0 else 1.0  # the robot's clock was set back


def open_output(
    folder: Path | None, task: TaskSpec, *, appends: bool
) -> AbstractContextManager[StoreTransition]:
    """Return a context that stores transitions in a log in `folder`, or nowhere if None."""
    if folder is None:
        return nullcontext(lambda transition: None)
    return _Output(folder, task, appends)


class _Output:
    def __init__(self, folder: Path, task: TaskSpec, appends: bool) -> None:
        if not appends and any(folder.glob("segment-*.log")):
            raise BagError(
                f"{folder} already has transitions; choose another folder, or add --append"
            )
        self._log = TransitionLog(
            folder,
            obs_dim=task.obs_dim,
            action_dim=task.action_dim,
            task_fingerprint=task.fingerprint,
            capacity=2**62,
        )

    def __enter__(self) -> StoreTransition:
        """Open the log; existing transitions are kept."""
        self._consume(self._log.open())
        return self._log.append

    def __exit__(self, *error: object) -> None:
        self._log.close()

    @staticmethod
    def _consume(rows: Iterator[object]) -> None:
        for _ in rows:
            pass
