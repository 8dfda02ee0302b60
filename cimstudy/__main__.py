"""`python -m cimstudy` is the command `cimstudy`."""

from cimstudy.cli import main

if __name__ == "__main__":  # worker processes import this module and must not run it
    raise SystemExit(main())
