"""Python's garbage collector, kept out of the moments when a robot waits for its command."""

import gc


class GcSchedule:
    """Collects right after a command, when a control period's rest is left for it.

    Left to itself the collector runs whenever enough objects have been made, in whatever thread
    makes them: in the middle of a tick as well, and all threads wait for it.
    """

    def __init__(self) -> None:
        self._thresholds = gc.get_threshold()
        self._wants_all = False

    def start(self) -> None:
        """Collect now, and from now on only when asked."""
        # What exists by now stays: later collections need not walk it.
        gc.collect()
        gc.freeze()
        gc.disable()

    def stop(self) -> None:
        """Let the collector run by itself again, on everything."""
        # Frozen objects are never collected: a policy that an activation froze would stay for ever.
        gc.unfreeze()
        gc.enable()

    def ask_for_all(self) -> None:
        """Let the next collection be a full one, and soon; may be called from any thread.

        For whoever has made many objects at once, most of them garbage by now: only a full
        collection empties the interpreter's free lists, and it comes seldom by itself.
        """
        self._wants_all = True

    def collect_if_due(self) -> None:
        """Collect as many generations as Python's own thresholds ask for, if any.

        Unlike Python, a full collection does not wait for the survivors to have grown by a
        quarter: after `start` there are few of them.
        """
        counts = gc.get_count()
        if self._wants_all:
            self._wants_all = False
            gc.collect()
        elif counts[0] > self._thresholds[0]:
            gc.collect(
                max(
                    generation
                    for generation, (count, threshold) in enumerate(
                        zip(counts, self._thresholds, strict=True)
                    )
                    if count > threshold
                )
            )
