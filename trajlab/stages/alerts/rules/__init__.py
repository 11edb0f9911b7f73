"""Rules of the stage `alerts`, a file each, with the names and defaults of SageMaker Debugger where it has them.

This folder is the list of them: a file that holds a `RULE` is a rule. Its thresholds are settings of the stage.
"""

import difflib
import inspect
from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

from trajlab.errors import BadSetting
from trajlab.stages.alerts.rule import Rule


def all_rules() -> dict[str, Rule]:
    """Return all rules by the name of their file, alphabetically."""
    names = sorted(module.name for module in iter_modules(__path__))
    return {name: import_module(f"{__name__}.{name}").RULE for name in names}


def rule_names(texts: Iterable[str], also: Iterable[str] = ()) -> list[str]:
    """Return the names of rules, ignoring case and hyphens.

    Parameters
    ----------
    texts
        Names of rules, or of their files.
    also
        Names that are no rules and may be among them.

    Raises
    ------
    BadSetting
        There is no such rule.
    """
    by_file = {file: rule.name for file, rule in all_rules().items()}
    by_key = by_file | {name.lower(): name for name in (*by_file.values(), *also)}
    names = []
    for text in texts:
        key = text.strip().replace("-", "_").lower()
        if key not in by_key:
            close = difflib.get_close_matches(key, by_key, 3, 0.5)
            choices = ", ".join(dict.fromkeys(by_key[match] for match in close) or [*by_file.values(), *also])
            raise BadSetting(
                f"there is no rule {text!r}; {f'did you mean {choices}?' if close else f'choose {choices}'}"
            )
        names.append(by_key[key])
    return names


def evidence_for(rules: Iterable[Rule]) -> set[str]:
    """Return the names of all evidence that rules ask for: the positional parameters of their functions."""
    parameters = [inspect.signature(judge).parameters.values() for rule in rules for judge in rule.judge]
    return {each.name for of_judge in parameters for each in of_judge if each.kind is not each.KEYWORD_ONLY}
