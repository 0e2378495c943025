"""`python -m sac_ros` is the command `sac-ros`."""

from sac_ros.command_line import main

main()
