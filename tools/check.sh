#!/usr/bin/env bash
# Everything that must hold before a change lands: style, types, tests. Run it from anywhere, in the environment
# that has malle-rt and its "dev" extra.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
mypy
pytest -q --durations=5 "$@"
