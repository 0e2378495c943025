"""The one error a person can cause; every room derives its own from it."""


class InputError(Exception):
    """Something a person gave us is wrong.

    The message says what was found, what was expected and what to do. Command lines print it as one
    line and exit with status 2; a lifecycle node logs it and fails the transition.
    """
