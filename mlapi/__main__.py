"""Runs the command line as `python -m mlapi`."""

from mlapi.cli.group import main

if __name__ == "__main__":
    main()
