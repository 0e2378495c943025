"""Precedence over everything else on this computer, for the process that a robot waits for."""

import os
import threading
from pathlib import Path

from sac_ros.errors import InputError


class RealtimeError(InputError):
    """The priority asked for is not allowed."""


def take_realtime_priority(priority: int) -> None:
    """Run all threads of this process under SCHED_FIFO, the middleware's among them.

    Python's other threads get one less: while they hold the interpreter they must run on, or the
    main thread waits for them, but they must not run instead of it. Raises RealtimeError.
    """
    others = {thread.native_id for thread in threading.enumerate()}
    others.discard(threading.main_thread().native_id)
    for task in Path("/proc/self/task").iterdir():
        thread_id = int(task.name)
        level = max(1, priority - 1) if thread_id in others else priority
        try:
            os.sched_setscheduler(thread_id, os.SCHED_FIFO, os.sched_param(level))
        except ProcessLookupError:
            continue  # it has just ended
        except PermissionError as error:
            raise RealtimeError(
                f"realtime_priority {priority} is not allowed here; give the user the right to it"
                " (`@realtime - rtprio 99` in /etc/security/limits.conf and the group, or"
                " LimitRTPRIO= in a systemd unit), or set it to 0"
            ) from error
