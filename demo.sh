#!/usr/bin/env bash
# Builds the advisor and shows it at work on a small server of its own. Arguments go to `pgadvisor demo`.
set -euo pipefail
top=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$top/target}

"$top/setup.sh" demo
# In a subshell: paths among the arguments are relative to where the caller is.
target=$(mkdir -p "$target" && cd "$target" && pwd)
(cd "$top" && CARGO_TARGET_DIR=$target cargo build --release)
exec "$target/release/pgadvisor" demo "$@"
