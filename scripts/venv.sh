# Sourced by quickstart.sh and test.sh: a virtual environment in .venv, and `install` into it.
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "cimstudy needs Python 3.11 or later as '$python'; set PYTHON to one" >&2
    exit 2
}
[ -x .venv/bin/python ] || "$python" -m venv .venv

install() {
    echo "installing into .venv ..."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$1"
}
