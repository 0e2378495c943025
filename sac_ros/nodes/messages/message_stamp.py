"""A message's own time. Knows no ROS, so that recorded messages are read by the same rule."""


def stamp_s(message: object, arrival_s: float) -> float:
    """Return the message's own time stamp in s, or its arrival time where it carries none."""
    header = getattr(message, "header", None)
    if header is None or (header.stamp.sec == 0 and header.stamp.nanosec == 0):
        return arrival_s
    return float(header.stamp.sec) + float(header.stamp.nanosec) * 1e-9
