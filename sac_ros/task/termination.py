"""When an episode has ended by itself (terminated), as opposed to being cut short (truncated)."""

from sac_ros.task.observation import Readings, check_reading
from sac_ros.task.task_spec import TaskSpec


class TerminationRule:
    """The task's list of ranges that a healthy robot stays in."""

    def __init__(self, task: TaskSpec) -> None:
        readings = {reading.name: reading for reading in task.readings}
        self._terms = [
            (readings[term.reading], *term.bounds, term.why) for term in task.termination
        ]

    def reason(self, readings: Readings) -> str | None:
        """Return why the episode ended with these readings, or None while it goes on."""
        for reading, low, high, why in self._terms:
            values = check_reading(reading, readings)
            # Written so that a NaN would end the episode too: NaN > high is False.
            if not ((values > low) & (values < high)).all():
                return why
        return None
