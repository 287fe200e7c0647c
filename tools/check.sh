#!/usr/bin/env bash
# Everything that must hold before a change lands: style, types, tests. Run it from anywhere, in the environment
# that has malle-rt and its "dev" extra.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
# Python 3.10 gets numpy and PyAV with older annotations. Under newer ones mypy checks for 3.10, too (setup.cfg).
if python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  mypy
else
  echo "mypy: left out under Python 3.10"
fi
pytest -q --durations=5 "$@"
