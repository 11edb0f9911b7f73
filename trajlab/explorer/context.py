"""What every view of a page needs: the collection, the selection, the colors, and the parts of results they select."""

import numpy as np
import xarray as xr

from trajlab.explorer.arrays import Arrays
from trajlab.explorer.computation import COMPUTING, FAILED, WAITING
from trajlab.explorer.look import Look
from trajlab.explorer.quantity import chosen, maps_of, of_run, row_dim
from trajlab.explorer.result_collection import ResultCollection
from trajlab.explorer.selection import Selection
from trajlab.explorer.step_axis import StepAxis
from trajlab.statistics.studies import short_names

PREFERRED = (("drift", "relative"), ("gradient_statistics", "l2"), ("distribution", "std"))
"""Results and variables that are shown first."""


class Context:
    """A selection on a collection, with the parts of results that it selects.

    Parameters
    ----------
    collection
        Results and runs.
    selection
        What is selected.
    look
        Colors.
    arrays
        Loaded parts, which all pages of a server share.
    """

    def __init__(self, collection: ResultCollection, selection: Selection, look: Look, arrays: Arrays):
        self.collection, self.selection, self.look, self.arrays = collection, selection, look, arrays
        self._maps: tuple[tuple[tuple[str, int], ...], dict[str, dict[str, xr.DataArray]]] | None = None
        self._axis: tuple[tuple[int, int], StepAxis] | None = None

    @property
    def results(self) -> dict[str, xr.Dataset]:
        """Results that exist, by name."""
        return dict(self.collection.results)

    @property
    def runs(self) -> list[str]:
        """Names of all runs."""
        names = list(self.collection.source.runs)
        for result in self.results.values():
            names += [str(name) for name in result["run"].values] if "run" in result.dims else []
        return list(dict.fromkeys(names)) or ["run"]

    @property
    def labels(self) -> dict[str, str]:
        """Short names of all runs."""
        return dict(zip(self.runs, short_names(self.runs), strict=True))

    @property
    def run(self) -> str:
        """Run of the heat map."""
        return self.selection.run if self.selection.run in self.runs else self.chosen_runs[0]

    @property
    def chosen_runs(self) -> list[str]:
        """Runs of the lines."""
        return [run for run in self.selection.runs if run in self.runs] or self.runs

    @property
    def axis(self) -> StepAxis:
        """Axis of the steps of all runs."""
        key = self.collection.runs.readings, len(self.collection.results)
        if self._axis is None or self._axis[0] != key:
            self._axis = key, self._steps()
        return self._axis[1]

    def _steps(self) -> StepAxis:
        runs = self.collection.source.runs.values()
        steps = [run.steps for run in runs if len(run.steps)] or [
            result["step"].values for result in self.results.values() if "step" in result.dims
        ]
        return StepAxis(np.unique(np.concatenate(steps)) if steps else np.zeros(1))

    @property
    def step(self) -> int:
        """Selected step: the recorded one that is nearest; by default the last."""
        if self.selection.step is None:
            return int(self.axis.steps[-1])
        return self.axis.step(float(self.axis.x(self.selection.step)))

    @property
    def before(self) -> int:
        """Step that it is compared with; by default the first."""
        if self.selection.before is None:
            return int(self.axis.steps[0])
        return self.axis.step(float(self.axis.x(self.selection.before)))

    @property
    def run_before(self) -> str:
        """Run that it is compared with; by default the same."""
        return self.selection.run_before if self.selection.run_before in self.runs else self.run

    def maps(self) -> dict[str, dict[str, xr.DataArray]]:
        """Return the variables that a heat map can show, by result."""
        results = self.results
        key = tuple((name, self.collection.revision(name)) for name in results)
        if self._maps is None or self._maps[0] != key:
            variables = {name: maps_of(result) for name, result in results.items()}
            self._maps = key, {name: arrays for name, arrays in variables.items() if arrays}
        return self._maps[1]

    @property
    def quantity(self) -> tuple[str, str]:
        """Result and variable that are shown; empty while there is none."""
        maps = self.maps()
        wanted = (self.selection.result, self.selection.variable)
        if wanted[1] in maps.get(wanted[0], {}):
            return wanted
        if wanted[0] in maps:
            return wanted[0], next(iter(maps[wanted[0]]))
        if wanted[0] and self.collection.is_busy and wanted[0] in self.collection.states:
            return "", ""  # it is still to be computed
        for result, variable in PREFERRED:
            if variable in maps.get(result, {}):
                return result, variable
        return next(((name, next(iter(arrays))) for name, arrays in maps.items()), ("", ""))

    @property
    def variable(self) -> xr.DataArray | None:
        """Variable that is shown, of all runs; None while there is none."""
        result, variable = self.quantity
        return self.results[result][variable] if result else None

    @property
    def names(self) -> list[str]:
        """Names of the rows of the variable."""
        array = self.variable
        return [] if array is None else [str(name) for name in array[row_dim(array)].values]

    @property
    def row(self) -> str:
        """Row of the variable that is selected: itself, or the first in the selected module; else the first."""
        names, wanted = self.names, self.selection.row
        if wanted in names or not names:
            return wanted
        return next((name for name in names if wanted and name.startswith(f"{wanted}.")), names[0])

    def part(
        self, run: str, *, result: str = "", variable: str = "", keep: tuple[str, ...] = ()
    ) -> xr.DataArray | None:
        """Return a variable of a run in memory, (step, row) and the dims to keep; None if there is none.

        Parameters
        ----------
        run
            Name of the run.
        result, variable
            The variable; by default the selected one.
        keep
            Dims that stay besides.
        """
        if not result:
            result, variable = self.quantity
        if variable not in self.results.get(result, ()):
            return None
        array = self.results[result][variable]
        positions = chosen(array, self.selection.at, keep=keep)
        if "run" in array.dims:
            of_all = (result, variable, "", tuple(positions.items()), self.collection.revision(result))
            loaded = self.arrays.peek(of_all)
            if loaded is not None:
                return of_run(loaded, run)
            self.arrays.want(of_all, array.isel(positions))  # the other runs may be looked at next
        whole = of_run(array, run)
        if whole is None:
            return None
        key = (result, variable, run if "run" in array.dims else "", tuple(positions.items()),
               self.collection.revision(result))  # fmt: skip
        return self.arrays.load(key, whole.isel(positions))

    def result_of_run(self, name: str, variable: str) -> xr.Dataset | None:
        """Return the result of a stage for the run of the heat map, if it has a variable; None if there is none."""
        result = self.results.get(name)
        if result is None or variable not in result:
            return None
        if "run" in result.dims:
            runs = [str(run) for run in result["run"].values]
            return result.isel(run=runs.index(self.run)) if self.run in runs else None
        return result

    def why_absent(self, name: str) -> str:
        """Have a result that a view waits for computed next, and write in a sentence why it is not there yet."""
        self.collection.hurry(name)
        state = self.collection.states.get(name)
        if state is not None and state.word in (WAITING, COMPUTING):
            when = f"being computed{': ' + state.detail if state.detail else ''}"
            return f"{name} of {self.labels[self.run]} is {when if state.word == COMPUTING else 'computed next'}."
        absent = f"There is no {name} of {self.labels[self.run]}"
        if state is None or not state.detail:
            return f"{absent}." if state is None else f"{absent} ({state.word})."
        return f"{absent}: {'it failed: ' if state.word == FAILED else ''}{state.detail.removesuffix('.')}."

    def position(self, dim: str) -> int:
        """Return the position that is shown along a free dim of the variable."""
        array = self.variable
        return 0 if array is None else chosen(array, self.selection.at)[dim]
