"""Options that the commands which train share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option(help="Folder to write to.")]
Params = Annotated[Path, typer.Option(help="YAML file with the settings of studies.", exists=True, dir_okay=False)]
Device = Annotated[str, typer.Option(help="PyTorch device to train on.")]
Download = Annotated[bool, typer.Option(help="Download the data set if it is missing.")]
