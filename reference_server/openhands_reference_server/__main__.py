"""`python -m openhands_reference_server`: the same as the console script."""

from openhands_reference_server.cli import main

if __name__ == "__main__":
    main()
