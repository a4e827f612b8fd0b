class CannotStartError(Exception):
    """What keeps the server from starting, said so that the person who started it can mend it.

    The message is shown as it is, without a traceback.
    """
