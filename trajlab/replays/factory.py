"""Import the factory that builds a network: one that the caller names, or one that run.json names and may be run."""

import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from inspect import isclass, isfunction
from types import ModuleType
from typing import Any

from torch import nn

from trajlab.errors import BadSetting, MissingData, UntrustedCode
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.trust import find_mark


def named_by_caller(factory: str) -> Callable[..., nn.Module]:
    """Import a factory that the caller names; the current directory joins the import path if it takes that.

    It stays there: worker processes that unpickle the network's classes inherit the path.

    Raises
    ------
    BadSetting
        The name does not have the form module:function.
    MissingData
        It cannot be imported.
    """
    return _located(factory, os.getcwd())


def named_by_run(trajectory: Trajectory, factory: str) -> Callable[..., nn.Module]:
    """Import the factory that run.json names, if the run may name code.

    Raises
    ------
    UntrustedCode
        The run is not trusted, or the factory is no function or module class defined in the package that it is named
        in, or belongs to the standard library.
    BadSetting
        The name does not have the form module:function.
    MissingData
        It cannot be imported.
    """
    if not trajectory.source:  # made in memory, so that the caller named the factory
        return named_by_caller(factory)
    if not trajectory.trusted:
        raise UntrustedCode(
            f"cannot run {factory}, the model factory that {trajectory.source} names: you did not record this run on "
            f"this machine; name the factory yourself (--model {factory}, or model=), or pass --trust (trust=True to "
            "trajlab.open) if you trust whoever wrote this folder"
        )
    package = factory.partition(":")[0].partition(".")[0]
    if package in sys.stdlib_module_names:
        raise UntrustedCode(
            f"cannot run {factory}, the model factory that {trajectory.source} names: it belongs to Python's standard "
            "library, which builds no networks; name the right one with --model (model=)"
        )
    mark = find_mark(trajectory.source, trajectory.facts)
    function = _located(factory, mark.root if mark else "")
    builds = isfunction(function) or (isclass(function) and issubclass(function, nn.Module))
    if not builds or str(function.__module__).partition(".")[0] != package:
        raise UntrustedCode(
            f"cannot run {factory}, the model factory that {trajectory.source} names: it is no function or nn.Module "
            f"class of the package {package}; name the right one with --model (model=)"
        )
    return function


def _located(factory: str, folder: str) -> Any:
    """Import a factory; a folder joins the import path if its module is not found without."""
    module_name, _, name = factory.partition(":")
    if not name:
        raise BadSetting(f"cannot import the model {factory!r}: name it as package.module:function")
    try:
        module = _imported(module_name, folder)
        if not hasattr(module, name):
            functions = [key for key, value in vars(module).items() if isfunction(value) and key[0] != "_"]
            near = get_close_matches(name, functions, cutoff=0.0)
            remedy = f"name one of its functions, such as {', '.join(near)}" if near else "it defines no function"
            raise MissingData(f"cannot import the model factory {factory}: {module_name} has no {name}; {remedy}")
        return getattr(module, name)
    except (ImportError, AttributeError) as error:
        package = module_name.partition(".")[0]
        raise MissingData(
            f"cannot import the model factory {factory}: {error}; add the folder of {package} to PYTHONPATH, or run "
            "there and pass --model; in Python, model= also takes a network"
        ) from error


def _imported(module: str, folder: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if not folder or folder in sys.path or error.name != module.partition(".")[0]:
            raise
    sys.path.insert(0, folder)
    return import_module(module)
