"""The one exception that a user of the project is meant to read."""


class HowtoError(Exception):
    """Something the user can mend: ``what is wrong, where; what mends it``, in one line."""
