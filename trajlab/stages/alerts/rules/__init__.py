"""Rules of the stage `alerts`, a file each, with the names and defaults of SageMaker Debugger where it has them.

This folder is the list of them: a file that holds a `RULE` is a rule. Its thresholds are settings of the stage.
"""

from importlib import import_module
from pkgutil import iter_modules

from trajlab.stages.alerts.rule import Rule


def all_rules() -> dict[str, Rule]:
    """Return all rules by the name of their file, alphabetically."""
    names = sorted(module.name for module in iter_modules(__path__))
    return {name: import_module(f"{__name__}.{name}").RULE for name in names}
