"""Starts a stage from the command line: which model, which parameters, which folders."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from mlapi.errors import BundleError
from training.params import DEFAULT, ModelParams, ParamsError, read_params
from training.workspace import Workspace

RESULTS: Final = Path(__file__).with_name("results")


class TrainingError(Exception):
    """The training cannot go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a stage is told.

    Attributes:
        params: the model's parameters.
        work: where the stages leave what they made.
        shared: the folder that holds `data` and `models`; None where nothing names one.
    """

    params: ModelParams
    work: Workspace
    shared: Path | None

    def source(self, kind: str, name: str) -> Path:
        """Return the path of a file or folder below `data` or `models`; the sample is part of the repository.

        Raises:
            TrainingError: nothing says where it is, or it is not there.
        """
        if name.startswith("sample/"):
            return Path(__file__).parent / name
        if self.shared is None:
            msg = f"{name} is not part of the repository: set SHARED_DIR to the folder whose {kind}/ holds it"
            raise TrainingError(msg)
        path = self.shared / kind / name
        if not path.exists():
            msg = f"{path} is missing"
            raise TrainingError(msg)
        return path


Say: TypeAlias = Callable[[str], None]
Stage: TypeAlias = Callable[[Order, Say], None]


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every stage has."""
    options = argparse.ArgumentParser(prog=program, description=description)
    options.add_argument(
        "--params",
        type=Path,
        action="append",
        help="a file of parameters; given several times, each is laid over those before (default: params.yaml)",
    )
    options.add_argument("--results", type=Path, default=RESULTS, help="where results go (default: training/results)")
    options.add_argument(
        "--shared",
        type=Path,
        default=Path(os.environ["SHARED_DIR"]) if os.environ.get("SHARED_DIR") else None,
        help="the folder with data/ and models/ (default: the variable SHARED_DIR)",
    )
    return options


def run_stage(stage: Stage, arguments: Sequence[str] | None, program: str, description: str) -> None:
    """Run one stage for one model, as its command line says; a fault is one line, and exit code 1."""
    options = parser(f"python -m training.{program}", description)
    options.add_argument("model", help="a model of the parameters, such as lab")
    given = options.parse_args(arguments)
    try:
        stage(order(given.model, given.params, given.results, given.shared), say)
    except (BundleError, ParamsError, TrainingError) as error:
        sys.exit(f"{program}: {error}")
    except FileNotFoundError as error:
        sys.exit(f"{program}: {error.filename} is missing: run the stages before this one")


def order(model: str, params: Sequence[Path] | None, results: Path, shared: Path | None) -> Order:
    """Read the parameters of one model.

    Raises:
        ParamsError: they cannot be read.
        TrainingError: there is no such model.
    """
    models = read_params(params or [DEFAULT]).models
    if model not in models:
        msg = f"no such model: {model} (one of: {', '.join(models)})"
        raise TrainingError(msg)
    return Order(models[model], Workspace(results, model), shared)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
