"""Run the command line as ``python -m trajlab``, which finds modules in the current directory."""

from trajlab.cli import main

main()
