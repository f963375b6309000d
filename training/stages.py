"""Starts a stage from the command line: which model, which parameters, which folders."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from mlapi.errors import BundleError
from training.params import DEFAULT, ModelParams, ParamsError, read_params
from training.workspace import Workspace

RESULTS: Final = Path(__file__).with_name("results")


EXIT_REFUSED: Final = 3
"""The stages worked, and the model is not good enough."""


class TrainingError(Exception):
    """The training cannot go on; the message says why and what to do."""


class NotGoodEnoughError(TrainingError):
    """The model does not pass the gate; the message says in what."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a stage is told.

    Attributes:
        params: the model's parameters.
        work: where the stages leave what they made.
        shared: the folder that holds `data` and `models`; None where nothing names one.
        feedback: texts from opinions to learn from as well, as `mlapi learn export` writes them.
        champion: the folder of the bundle to compare with; None: the shipped one of the same name.
    """

    params: ModelParams
    work: Workspace
    shared: Path | None
    feedback: Path | None = None
    champion: Path | None = None

    def source(self, name: str) -> Path:
        """Return the path of a file below `data`; the sample is part of the repository.

        Raises:
            TrainingError: nothing says where it is, or it is not there.
        """
        if name.startswith("sample/"):
            return Path(__file__).parent / name
        if self.shared is None:
            msg = f"{name} is not part of the repository: set SHARED_DIR to the folder whose data/ holds it"
            raise TrainingError(msg)
        path = self.shared / "data" / name
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
    options.add_argument("--champion", type=Path, help="the bundle to compare with (default: the shipped one)")
    options.add_argument("--feedback", type=Path, help="texts from opinions to learn from, too: `mlapi learn export`")
    return options


def run_stage(stage: Stage, arguments: Sequence[str] | None, program: str, description: str) -> None:
    """Run one stage for one model, as its command line says; a fault is one line, and exit code 1.

    A model that is not good enough is one line, and exit code 3.
    """
    options = parser(f"python -m training.{program}", description)
    options.add_argument("model", help="a model of the parameters, such as lab")
    given = options.parse_args(arguments)
    try:
        stage(order(given.model, given), say)
    except NotGoodEnoughError as error:
        refuse(program, error)
    except (BundleError, ParamsError, TrainingError) as error:
        sys.exit(f"{program}: {error}")
    except FileNotFoundError as error:
        sys.exit(f"{program}: {error.filename} is missing: run the stages before this one")


def refuse(program: str, error: NotGoodEnoughError) -> NoReturn:
    """Say in what a model is not good enough, and end."""
    sys.stderr.write(f"{program}: {error}\n")
    sys.exit(EXIT_REFUSED)


def order(model: str, given: argparse.Namespace) -> Order:
    """Read the parameters of one model, and the rest of what `parser` read.

    Raises:
        ParamsError: they cannot be read.
        TrainingError: there is no such model.
    """
    models = read_params(given.params or [DEFAULT]).models
    if model not in models:
        msg = f"no such model: {model} (one of: {', '.join(models)})"
        raise TrainingError(msg)
    return Order(models[model], Workspace(given.results, model), given.shared, given.feedback, given.champion)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
