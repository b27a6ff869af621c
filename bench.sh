#!/usr/bin/env bash
# What the advisor costs, in one run (an hour; Debian's PostgreSQL):
#   ./bench.sh cost
# What index advice is worth, priced by evaluators that know nothing of the advisor, on a server of its own.
#   ./bench.sh DIR   DIR holds price_real.py, tpch/ (load_tpch.sh, eval_indexes.py, tpch_19.sql, tpch_norm.sql) and
#                    applications/ (schema.sql, workload.sql); ./bench.sh --bench DIR is the same
#   ./bench.sh DIR peers [SECONDS]   TPC-H alone, beside seven published algorithms and the best set that is known by any means, on
#                    the same data and statistics; so many seconds at most for each algorithm at each budget (75)
# Takes some forty minutes and 6 GB of disk for a while, the peers two hours. Installs what the demonstration needs, and in a folder of
# its own tpchgen-cli, psycopg2 and scipy (PyPI).
set -euo pipefail
[[ ${1:-} != --bench ]] || shift
if [[ ${1:-} == cost ]]; then
    cd "$(dirname "$0")"
    ./setup.sh demo
    for bench in judge history servers poll advise refresh; do
        printf '\n%s\n\n' "$bench"
        cargo bench --quiet --bench "$bench"
    done
    exit
fi
[[ -r ${1:-}/tpch/load_tpch.sh ]] || { sed -n '2,10p' "$0" | sed 's/^# \?//' >&2; exit 2; }
peers=${2:-} limit=${3:-75}
data=$(cd "$1" && pwd)
cd "$(dirname "$0")"
./setup.sh demo
cargo build --release --quiet
advisor=$PWD/target/release/pgadvisor

work=$(mktemp -d /tmp/pgadvisor-bench.XXXXXX)
chmod 755 "$work"
as_postgres() { if [[ $EUID == 0 ]]; then runuser -u postgres -- "$@"; else "$@"; fi; }
bin=/usr/lib/postgresql/15/bin
stop() {
    as_postgres "$bin/pg_ctl" -D "$work/server/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap stop EXIT
mkdir "$work/server"
[[ $EUID != 0 ]] || chown postgres "$work/server"
as_postgres "$bin/initdb" -D "$work/server/data" -U postgres -A trust --locale=C.UTF-8 >/dev/null
as_postgres "$bin/pg_ctl" -D "$work/server/data" -l "$work/server/log" -w start >/dev/null \
    -o "-c listen_addresses='' -c unix_socket_directories=$work/server -c autovacuum=off -c shared_preload_libraries=pg_stat_statements -c fsync=off"
export PGHOST=$work/server PGPORT=5432 PGUSER=postgres

cache=$(./setup.sh cache)
python=$cache/bench/bin/python
if ! "$python" -c 'import psycopg2, scipy' 2>/dev/null; then
    python3 -m venv "$cache/bench"
    "$cache/bench/bin/pip" -q install psycopg2-binary tpchgen-cli scipy
fi
printf 'bench: loading TPC-H%s\n' "${peers:+ alone}" >&2
TPCHGEN=$cache/bench/bin/tpchgen-cli TPCHDIR=$cache/tpch_sf1 bash "$data/tpch/load_tpch.sh" tpch 1 none >/dev/null
if [[ -z $peers ]]; then
    psql -Xq -d postgres -c 'CREATE DATABASE apps'
    psql -Xq -d apps -f "$data/applications/schema.sql" >/dev/null
    psql -Xq -d apps -c 'CREATE EXTENSION IF NOT EXISTS hypopg'
    psql -Xq -d apps -c 'VACUUM ANALYZE'
fi

# Writes the set to $work/set.sql and prints: own relative cost, size in 10^6 bytes, calls per statement, seconds.
advise() {
    "$advisor" advise "$@" --format json >"$work/advice.json"
    "$python" - "$work" <<'PYTHON'
import json, sys
advice = json.load(open(sys.argv[1] + "/advice.json"))
open(sys.argv[1] + "/set.sql", "w").writelines(index["definition"] + ";\n" for index in advice["indexes"])
work = advice["workload"]
print("%.4f %.0f %.1f %.1f" % (work["cost_after"] / work["cost_before"], work["size_bytes"] / 1e6,
                               work["what_if_calls"] / work["statements"], work["elapsed_seconds"]))
PYTHON
}

# The best of seven published algorithms at each budget, two and three columns wide (Kossmann et al., PVLDB 2020, run on
# the same data).
declare -A best=(
    [tpch_19:50]=0.9662 [tpch_19:100]=0.9438 [tpch_19:250]=0.6278 [tpch_19:500]=0.5376 [tpch_19:1000]=0.4932
    [tpch_19:2000]=0.4570 [tpch_19:5000]=0.4454
    [tpch_norm:50]=0.8716 [tpch_norm:100]=0.8151 [tpch_norm:250]=0.6390 [tpch_norm:500]=0.5080 [tpch_norm:1000]=0.4774
    [tpch_norm:2000]=0.4505 [tpch_norm:5000]=0.4392
)
tpch="host=$PGHOST dbname=tpch user=postgres"
rounds=6
if [[ -n $peers ]]; then
    for workload in tpch_19 tpch_norm; do
        for budget in 50 100 250 500 1000 2000 5000; do
            advise "$tpch" --workload "$data/tpch/$workload.sql" --budget "${budget}MB" --method btree --no-include --no-partial \
                --no-expression | { read -r own _; printf '%s pgadvisor %s %s\n' "$workload" "$budget" "$own"; }
            "$python" benches/peers "$data/tpch" "$tpch" "$data/tpch/$workload.sql" all "$budget" --limit "$limit" \
                --from "$work/set.sql" | sed "s/^/$workload /"
        done
    done
    exit
fi
printf '| workload | budget, MB | plain b-trees, own figure | priced | Extend | best published | size, MB | calls per statement | seconds |\n'
printf '|---|---|---|---|---|---|---|---|---|\n'
priced() {
    "$python" "$data/tpch/eval_indexes.py" --dsn "$tpch" --workload "$data/tpch/$1.sql" --indexes "$work/set.sql" --quiet |
        sed -n 's/.*relative *\([0-9.]*\).*/\1/p'
}
for workload in tpch_19 tpch_norm; do
    # what one of them reaches on the very same data, with as many questions as it likes
    declare -A extend=()
    while read -r _ budget cost _; do extend[$budget]=$(printf %.4f "$cost"); done < <("$python" benches/peers "$data/tpch" "$tpch" \
        "$data/tpch/$workload.sql" extend 50 100 250 500 1000 2000 5000)
    for budget in 50 100 250 500 1000 2000 5000; do
        given=("$tpch" --workload "$data/tpch/$workload.sql" --budget "${budget}MB")
        read -r own size calls seconds < <(advise "${given[@]}" --method btree --no-include --no-partial --no-expression)
        plain=$(priced "$workload")
        printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' "$workload" "$budget" "$own" "$plain" \
            "${extend[$budget]}" "${best[$workload:$budget]}" "$size" "$calls" "$seconds"
    done
done

# Statistics are of a sample, and each ANALYZE takes another one: what a figure of one loading is worth beside one of another.
printf '\nTPC-H, plain b-trees, after %s times ANALYZE: priced\n\n| workload | budget, MB | least | most | best published |\n|---|---|---|---|---|\n' "$rounds"
for ((round = 1; round <= rounds; round++)); do
    psql -Xq -d tpch -c 'VACUUM (FREEZE, ANALYZE)'
    for workload in tpch_19 tpch_norm; do
        for budget in 50 100 250 500 1000 2000 5000; do
            advise "$tpch" --workload "$data/tpch/$workload.sql" --budget "${budget}MB" --method btree --no-include --no-partial --no-expression >/dev/null
            printf '%s %s %s\n' "$workload" "$budget" "$(priced "$workload")" >>"$work/rounds"
        done
    done
done
for workload in tpch_19 tpch_norm; do
    for budget in 50 100 250 500 1000 2000 5000; do
        costs=$(sed -n "s/^$workload $budget //p" "$work/rounds" | sort -n)
        printf '| %s | %s | %s | %s | %s |\n' "$workload" "$budget" "$(head -n 1 <<<"$costs")" "$(tail -n 1 <<<"$costs")" "${best[$workload:$budget]}"
    done
done

# HypoPG sees an index with a condition on the first table of a statement alone: what it tells of all kinds is too little.
printf '\nTPC-H, the sets really built: what the planner says then\n\n| workload | budget, MB | plain b-trees, own figure | built | size, MB | all kinds, own figure | built | size, MB |\n|---|---|---|---|---|---|---|---|\n'
for workload in tpch_19 tpch_norm; do
    for budget in 50 100 250 500 1000 2000 5000; do
        printf '| %s | %s' "$workload" "$budget"
        for kinds in "--no-include --no-partial --no-expression" ""; do
            # shellcheck disable=SC2086
            read -r own _ < <(advise "$tpch" --workload "$data/tpch/$workload.sql" --budget "${budget}MB" --method btree $kinds)
            read -r built size < <("$python" benches/built.py "$data/tpch" "$tpch" "$data/tpch/$workload.sql" "$work/set.sql")
            printf ' | %s | %s | %s' "$own" "$built" "$size"
        done
        printf ' |\n'
    done
done

printf '\nTPC-H (tpch_19) really run, within 1000 MB: each statement twice, the second time counts\n\n'
advise "$tpch" --workload "$data/tpch/tpch_19.sql" --budget 1000MB --method btree >/dev/null
"$python" benches/execute.py "$tpch" "$data/tpch/tpch_19.sql" "$work/set.sql" 1e9

printf '\n| four applications, budget | own figure | calls per statement | seconds | really built and run |\n|---|---|---|---|---|\n'
apps="host=$PGHOST dbname=apps user=postgres"
for budget in 265MB none; do
    limit=()
    [[ $budget == none ]] || limit=(--budget "$budget")
    read -r own _ calls seconds < <(advise "$apps" --workload "$data/applications/workload.sql" "${limit[@]}")
    real=$("$python" "$data/price_real.py" --dsn "$apps" --workload "$data/applications/workload.sql" --indexes "$work/set.sql" --quiet)
    printf '| %s | %s | %s | %s | %s |\n' "$budget" "$own" "$calls" "$seconds" "$real"
done
