#!/usr/bin/env bash
# Make what AWS Batch needs, and write aws/config.env. Needs credentials of AWS and Python 3.11 or
# newer: where its command is not on the path, this project is installed into .venv first, as it is
# locked here.
# Options go to `ocrlabel aws deploy`:
#   ./scripts/cloud/aws-batch-setup.sh --dry-run
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

refuse() {
  printf '%s\n' "$@" >&2
  exit 2
}

python_of_this_machine() {
  local name
  for name in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  refuse "this needs Python 3.11 or newer, and finds none here: install one, or name it:" \
    "  PYTHON=/path/to/python3 $0"
}

install() {
  local python pip
  python=$(python_of_this_machine)
  echo "installing this project into .venv, once" >&2
  if "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv .venv
    pip=(.venv/bin/python -m pip)
  elif "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --without-pip .venv
    pip=("$python" -m pip --python .venv/bin/python)
  else
    refuse "this Python can make no environment, it has neither venv nor pip:" \
      "  on Debian and Ubuntu: apt-get install python3-venv"
  fi
  "${pip[@]}" install --quiet --disable-pip-version-check --require-hashes \
    -r requirements/build.lock -r requirements/cloud-api.lock >&2
  # last, so that an .venv with the command in it is a whole one
  "${pip[@]}" install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --editable . >&2
}

ocrlabel=$(command -v ocrlabel || true)
if [[ -z $ocrlabel ]]; then
  ocrlabel=.venv/bin/ocrlabel
  [[ -x $ocrlabel ]] || install
  echo "the command is in .venv: source .venv/bin/activate puts it on the path" >&2
fi
exec "$ocrlabel" aws deploy "$@"
