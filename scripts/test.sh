#!/usr/bin/env bash
# Sets up .venv and runs the tests; arguments go to pytest, e.g. -m slow or tests/data.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
environment test,dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
# Files in the order of tests/conftest.py, the longest first.
exec .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
    --no-loadscope-reorder "$@"
