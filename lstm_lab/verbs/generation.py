"""The options of `predict` for models of the next step, which continue a prompt."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.display.printable import printable
from lstm_lab.verbs.options import echo_json

if TYPE_CHECKING:
    from lstm_lab.experiment import Accelerator

Prompt = Annotated[
    str | None,
    typer.Option(help="Of a model of the next step, the beginning to continue: a text; or frames, as 'C4 E4 G4 | C4'."),
]
Length = Annotated[int | None, typer.Option(help="Steps to generate at most: tokens or frames; 200 without it.")]
Temperature = Annotated[
    float | None,
    typer.Option(help="Divides the logits: below 1, likely steps become likelier; 0 takes the most likely one. 1 "
                      "without it."),
]  # fmt: skip
TopK = Annotated[int | None, typer.Option(help="Draw among this many of the most likely tokens.")]
TopP = Annotated[
    float | None, typer.Option(help="Draw among the fewest most likely tokens with this probability together.")
]
Beams = Annotated[int | None, typer.Option(help="Beam search of this width, instead of draws.")]
Stop = Annotated[list[str] | None, typer.Option(help="Text that ends the continuation; may be given several times.")]
Seed = Annotated[int | None, typer.Option(help="Of the draws; 0 without it.")]


def refuse_with_prompt(**given: object) -> None:
    """Refuse what has no meaning beside a prompt.

    Raises:
        ConfigError: something is given.
    """
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"--prompt: does not go with {'FILE' if name == 'file' else f'--{name}'}: leave one out")


def refuse_without_prompt(chosen: Mapping[str, object]) -> None:
    """Refuse options of a continuation without a prompt.

    Raises:
        ConfigError: one is given.
    """
    for name, value in chosen.items():
        if value is not None:
            raise ConfigError(f"--{name.replace('_', '-')}: needs --prompt, which a model of the next step continues")


def write_continuation(
    folder: str, prompt: str, chosen: Mapping[str, object], accelerator: Accelerator | None, as_json: bool
) -> None:
    """Print a prompt and what follows it.

    Args:
        chosen: options of `Sampling`; None: its default.
    """
    from lstm_lab.deploy.generate import generate
    from lstm_lab.deploy.sampling import Sampling
    from lstm_lab.workflow import best_run

    sampling = Sampling(**{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]
    found = generate(best_run(Path(folder)), prompt, sampling, accelerator)
    if as_json:
        echo_json(found.to_record())
        return
    text = found.text.removesuffix("\n") + "\n"
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
