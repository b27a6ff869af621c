#!/usr/bin/env bash
# Everything that is checked before a change lands.
#   ./test.sh                  all stages
#   ./test.sh --all-versions   the integration tests that run on a few PostgreSQL versions run on all
#   ./test.sh NAME …           further arguments go to the runner of the integration tests
# PGADVISOR_HEALTHY_MINUTES=30 ./test.sh healthy:: watches healthy servers under load for half an hour.
set -euo pipefail
cd "$(dirname "$0")"

runner_arguments=()
for argument in "$@"; do
    if [[ $argument == --all-versions ]]; then
        export PGADVISOR_ALL_VERSIONS=1
    else
        runner_arguments+=("$argument")
    fi
done

# The caller's own database, locale and language must not change what the tests see.
for variable in "${!PG@}"; do
    [[ $variable == PGADVISOR_* ]] || unset "$variable"
done
unset LANG LANGUAGE
export LC_ALL=C.UTF-8
PGADVISOR_SERVERS=$(./setup.sh cache)/servers
export PGADVISOR_SERVERS

summary=()
# Also when a stage failed, which ends the script.
trap 'printf "\n"; printf "%s\n" "${summary[@]}"' EXIT

stage() {
    local name=$1 start=$SECONDS status=0 seconds outcome=
    shift
    printf '\n== %s\n' "$name"
    "$@" || status=$?
    seconds=$((SECONDS - start))
    [[ $status == 0 ]] || outcome=' FAILED'
    summary+=("$(printf '%-12s %3d.%d minutes%s' "$name" $((seconds / 60)) $((seconds % 60 / 6)) "$outcome")")
    return "$status"
}

if cargo nextest --version >/dev/null 2>&1; then
    run_tests=(cargo nextest run)
else # slower, but installing nextest takes longer than it saves
    run_tests=(cargo test)
fi

stage setup ./setup.sh test
stage format cargo fmt --check
stage lint cargo clippy --all-targets -- -D warnings
stage unit "${run_tests[@]}" --lib --bins
stage integration "${run_tests[@]}" --test it "${runner_arguments[@]}"
if cargo deny --version >/dev/null 2>&1; then
    stage licenses cargo deny check bans licenses sources
else
    summary+=("licenses     skipped: cargo-deny is not installed")
fi
