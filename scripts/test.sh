#!/bin/sh
# From a fresh clone to a tested one: makes .venv, installs the package with its test dependencies, runs the suite.
# Needs Python >= 3.11 with pip and venv. PYTHON chooses another interpreter; arguments go to pytest (--runslow).
set -eu
cd "$(dirname "$0")/.."
. scripts/venv.sh
install '.[test]'
. .venv/bin/activate
python -m pytest "$@"
