"""The one error that a user is meant to read."""


class UserError(Exception):
    """Something the user can mend: a wrong path, value or file.

    The message is one or two lines: what was found where, what was expected, what to do.
    Commands print it without a traceback and exit with code 2.
    """
