"""How people and raters take part in the episodes, in words and levels. Knows no ROS."""

from sac_ros.nodes.control.intervention import InterventionCounts
from sac_ros.nodes.exchange.pending_rewards import RewardCounts
from sac_ros.nodes.health.statuses import Level, Status


def intervention_status(
    counts: InterventionCounts, before: InterventionCounts, *, is_intervened: bool
) -> Status:
    """Say who commands, and whether a person's messages can be used."""
    message = "a person commands" if is_intervened else "the policy commands"
    new_refused = counts.refused - before.refused
    if new_refused:
        message = f"{new_refused} messages refused; {message}"
    return Status(
        "intervention",
        Level.WARN if new_refused else Level.OK,
        message,
        {
            "taken over": counts.taken_over,
            "messages": counts.messages,
            "messages refused": counts.refused,
        },
    )


def reward_status(
    counts: RewardCounts, before: RewardCounts, num_waiting: int, *, drops_unrated: bool
) -> Status:
    """Say whether the steps get their rewards, where a topic gives them."""
    new_unrated = counts.unrated - before.unrated if drops_unrated else 0
    new_refused = counts.refused - before.refused
    findings = [
        f"{number} {what}"
        for number, what in (
            (new_unrated, "steps dropped, as no reward came in time"),
            (new_refused, "rewards refused"),
        )
        if number
    ]
    return Status(
        "rewards",
        Level.WARN if findings else Level.OK,
        "; ".join(findings) or "steps are rated",
        {
            "steps rated": counts.rated,
            "steps without a reward in time": counts.unrated,
            "steps waiting": num_waiting,
            "late": counts.late,
            "duplicate": counts.duplicate,
            "of an unknown step": counts.unknown,
            "malformed or not finite": counts.malformed,
        },
    )
