"""What can go wrong, said so that a user can act: what was asked, what was found, what to try."""


class TrajlabError(Exception):
    """An error that the user can do something about; the command line prints it in one line and exits with 1."""


class DamagedData(TrajlabError):
    """A file or store is truncated, corrupt, or of another version."""


class MissingData(TrajlabError):
    """The trajectory lacks what was asked for: a parameter, a step, gradients, a probe."""


class BadSetting(TrajlabError, ValueError):
    """A setting or an argument has a value that makes no sense here."""


class OutputExists(TrajlabError, FileExistsError):
    """The place to write to is taken, and nothing is ever overwritten silently."""


class AlertFired(TrajlabError):
    """A rule fired, or could not be checked, that was asked to be an error."""
