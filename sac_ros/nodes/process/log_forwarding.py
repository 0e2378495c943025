"""What rooms without ROS have to say, said in a node's own log."""

import logging
from typing import Final

from rclpy.impl.rcutils_logger import RcutilsLogger

OUR_LOGGER: Final = "sac_ros"


class RosLogHandler(logging.Handler):
    """Hands records of Python's logging, of any thread, to a node's logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Say it with the same severity."""
        # One call each: rclpy lets no place in the source change its severity.
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())


def forward_log(logger: RcutilsLogger) -> None:
    """Let this package's Python logging appear in a node's log from now on."""
    ours = logging.getLogger(OUR_LOGGER)
    ours.setLevel(logging.INFO)
    ours.addHandler(RosLogHandler(logger))
