#!/usr/bin/env bash
# Make what AWS Batch needs, and write aws/config.env. Options go to `ocrlabel aws deploy`:
#   ./scripts/cloud/aws-batch-setup.sh --dry-run
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

if ! command -v ocrlabel >/dev/null; then
  echo "ocrlabel is not installed: pip install 'ocrlabel[aws]'" >&2
  exit 2
fi
exec ocrlabel aws deploy "$@"
