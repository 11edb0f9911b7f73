"""The runs of the page: opened again, and watched, while they are being written."""

from trajlab.errors import BadSetting, TrajlabError
from trajlab.explorer.source import Source

KEPT = 20
"""Changes noticed in growing runs that are kept: the last ones."""


class ShownRuns:
    """The runs that are shown, as they are now.

    Parameters
    ----------
    source
        What is shown.
    follow
        Whether the runs are still being written.

    Attributes
    ----------
    source
        What is shown, as it was opened last.
    fingerprint
        Fingerprint of the files of the runs; empty if there are none.
    readings
        How often the runs were opened again.
    trouble
        Why they could not be opened again or watched; empty if they could.
    noticed
        Changes that an online CUSUM noticed since the page was started, in words, the last ones first.

    Raises
    ------
    BadSetting
        Runs in memory are to be followed.
    """

    def __init__(self, source: Source, follow: bool):
        if follow and not all(name in source.paths for name in source.runs):
            raise BadSetting("cannot follow runs in memory; name the paths of runs")
        self.source, self.follow = source, follow
        self.fingerprint = source.fingerprint() if source.runs else ""
        self.readings, self.trouble = 0, ""
        self.noticed: list[str] = []
        self._entries = source.entries() if follow else []
        self._watchers: dict = {}

    def look_again(self) -> bool:
        """Open the runs again if their files have changed, and return whether it was done.

        A run that cannot be opened stays as it was.
        """
        try:
            entries, fingerprint = self.source.entries(), self.source.fingerprint()
            if (entries, fingerprint) == (self._entries, self.fingerprint):
                return False
            assert self.source.reopen is not None
            source = self.source.reopen()
        except (TrajlabError, OSError) as error:  # cut short, as it is being written; the next look finds it whole
            self.trouble = str(error)
            return False
        self.trouble = "; ".join(source.notes)
        source.paths = self.source.paths | source.paths
        source.runs = self.source.runs | source.runs
        source.results = self.source.results
        source.alone = self.source.alone and source.alone
        if set(source.runs) != set(self.source.runs):
            fingerprint = source.fingerprint()
        self.source, self._entries, self.fingerprint = source, entries, fingerprint
        self.readings += 1
        return True

    def watch(self) -> bool:
        """Read the values that are new in the runs, and return whether they have left their past.

        What the first look finds was there before the page was started, and only teaches the past.
        """
        from trajlab.running.watcher import Watcher  # kernels and their compiler, which the first view does without

        before = list(self.noticed)
        for name, run in self.source.runs.items():
            is_first = name not in self._watchers
            try:
                noticed = self._watchers.setdefault(name, Watcher()).read(run)
            except (TrajlabError, OSError) as error:
                self.trouble = str(error)
                continue
            of_run = f"{name}: " if len(self.source.runs) > 1 else ""
            if not is_first:
                self.noticed = [*(f"{of_run}{change}" for change in reversed(noticed)), *self.noticed][:KEPT]
        return self.noticed != before
