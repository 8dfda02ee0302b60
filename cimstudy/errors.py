"""The one exception that means "the input is wrong": the command line turns it into one line and exit status 2."""


class InputError(ValueError):
    """Bad input: the message names what was given and what is allowed, in one line."""
