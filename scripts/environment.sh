# Sourced by quickstart.sh and test.sh: makes .venv with the package in it, once for each
# change of setup.cfg. Usage: environment EXTRA (e.g. test)
environment() {
  local extra=$1 python=${PYTHON:-python3} wanted stamp
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "error: Python 3.11 or newer is needed, found: $("$python" --version 2>&1). Set PYTHON=/path/to/python3.11" >&2
    exit 2
  fi
  stamp=.venv/.installed-$extra
  wanted=$(cat setup.cfg pyproject.toml | cksum)
  if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  echo "making .venv and installing (TensorFlow is about 600 MB; a few minutes) ..."
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extra]"
  echo "$wanted" > "$stamp"
}
