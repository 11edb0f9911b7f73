"""Rules of the stage `alerts`, a file each, with the names and defaults of SageMaker Debugger where it has them.

This folder is the list of them: a file that holds a `RULE` is a rule. Its thresholds are settings of the stage.
"""

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


def rule_keys() -> dict[str, str]:
    """Return the names of rules by how they may be written: theirs or that of their file, in lower case."""
    by_file = {file: rule.name for file, rule in all_rules().items()}
    return by_file | {name.lower(): name for name in by_file.values()}


def as_key(text: str) -> str:
    """Return the key of the name of a rule, ignoring case and hyphens.

    >>> as_key("Dead-ReLU")
    'dead_relu'
    """
    return text.strip().replace("-", "_").lower()


def rule_names(texts: Iterable[str]) -> list[str]:
    """Return the names of rules, ignoring case and hyphens.

    Raises
    ------
    BadSetting
        There is no such rule.
    """
    by_key = rule_keys()
    for text in texts:
        if as_key(text) not in by_key:
            raise BadSetting(f"there is no rule {text!r}; choose {', '.join(dict.fromkeys(by_key.values()))}")
    return [by_key[as_key(text)] for text in texts]


def evidence_for(rules: Iterable[Rule]) -> set[str]:
    """Return the names of all evidence that rules ask for: the positional parameters of their functions."""
    parameters = [inspect.signature(judge).parameters.values() for rule in rules for judge in rule.judge]
    return {each.name for of_judge in parameters for each in of_judge if each.kind is not each.KEYWORD_ONLY}
