#!/bin/sh
# From a fresh clone to a table, a plot and a Zarr store: makes .venv, installs the package, runs studies/quickstart.py.
# Needs Python >= 3.11 with pip and venv. PYTHON chooses another interpreter.
set -eu
cd "$(dirname "$0")/.."
. scripts/venv.sh
install '.[plot]'
. .venv/bin/activate
cimstudy run studies/quickstart.py --store results/quickstart.zarr
cimstudy plot results/quickstart.zarr -o results/quickstart.png
