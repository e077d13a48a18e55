# Suites that know nothing of this crate, unchanged: red with one Redis for all, green behind `cargo transient exec`, with
# a URL from the environment and with a hard-coded address.
# Runs in the background.
needs packages
url=cargo-transient/tests/suite hard=interop/hard-coded
run runner-build cargo build --package cargo-transient
for suite in "$url" "$hard"; do
    run "runner-$(basename "$suite")" cargo test --manifest-path "$suite/Cargo.toml" --target-dir "$scratch/runner" --no-run
done
python3 -m venv "$scratch/orders"
run runner-redis-py "$scratch/orders/bin/python" -m pip install --disable-pip-version-check --no-deps \
    "$(grep '^redis==' interop/python/requirements.txt)"
# A Redis at 6379, with a key that FLUSHALL would delete.
start_redis
ask() { "${inside[@]}" redis-cli "$@"; }
[ "$(ask set sentinel 1)" = OK ] || fail "the Redis of this step takes no key"
transient=${CARGO_TARGET_DIR:-$PWD/target}/debug/cargo-transient
suite() { "${inside[@]}" env TRANSIENT_PROVIDER=process CARGO_TARGET_DIR="$scratch/runner" NEXTEST_TEST_THREADS=4 "$@"; }
nextest() { suite "${@:2}" cargo nextest run --no-fail-fast --manifest-path "$1/Cargo.toml"; }
orders() { suite "$@" "$scratch/orders/bin/python" "$hard/test_orders.py"; }
# Both of its processes at once.
twice() {
    "$@" &
    local other=$! status=0
    "$@" || status=$?
    wait "$other" && return "$status"
}
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
runner() { echo "CARGO_TARGET_${host}_RUNNER=$transient exec $1 --"; }

for number in $(seq 20); do
    run "runner-hard-$number" nextest "$hard" "$(runner --publish=6379)"
    run "runner-orders-$number" twice orders "$transient" exec --publish 6379 --
done
# Nothing was said: each had a network of its own.
if grep -l '^cargo transient: ' "$logs"/runner-*.log; then fail "there is no network namespace"; fi
run runner-hard-cargo suite "$(runner --publish=6379)" cargo test --manifest-path "$hard/Cargo.toml"
# The whole run in one network. Everything is built, since there is no internet in it.
run runner-hard-whole twice suite "$transient" exec --publish 6379 -- cargo test --offline --manifest-path "$hard/Cargo.toml"
for number in 1 2 3; do run "runner-url-$number" nextest "$url" "$(runner '')"; done
run runner-url-cargo suite "$(runner '')" cargo test --manifest-path "$url/Cargo.toml"
# Its mutants: no test looks at the expiry of the lock, and one looks at its condition.
rc=0
orders "$transient" mutate --publish 6379 --json "$scratch/orders.json" -- >"$logs/runner-mutate.log" 2>&1 || rc=$?
found=$(python3 -c 'import json, sys; print([(found["shape"], found["operator"]) for found in json.load(sys.stdin)["findings"]])' \
    <"$scratch/orders.json") || true
[ "$rc $found" = "1 [('SET lock:<id> NX PX', 'ttl-drop')]" ] || { cat "$logs/runner-mutate.log"; fail "mutate: $rc $found"; }
# As a user without rights.
user=$(mktemp --directory --tmpdir=/tmp)
cp "$transient" "$user"
chown -R nobody "$user"
as_user() { "${inside[@]}" setpriv --reuid=nobody --regid=nogroup --clear-groups env -C "$user" HOME="$user" TMPDIR="$user" XDG_CACHE_HOME="$user" TRANSIENT_PROVIDER=process "$@"; }
[ "$(as_user ./cargo-transient exec --publish 6379 -- redis-cli incr sentinel 2>&1)" = 1 ] || fail "a user has no network namespace"
rm -r "$user"
[ "$(ask get sentinel)" = 1 ] || fail "a suite behind cargo transient exec has changed the Redis at 6379"

# Their tests share keys, so that a run fails unless they happen to take turns.
red() {
    local name=$1 number
    shift
    for number in $(seq 20); do
        if ! "$@" >"$logs/runner-red.log" 2>&1; then
            echo "$name: run $number fails with one Redis for all"
            return
        fi
    done
    fail "$name: 20 runs pass with one Redis for all"
}
red 'the suite with a hard-coded address' nextest "$hard"
red 'the same twice at once under cargo test' twice suite cargo test --manifest-path "$hard/Cargo.toml"
red 'the tests in Python, twice at once' twice orders
red 'the suite with a URL' nextest "$url" REDIS_URL=redis://127.0.0.1:6379
[ -z "$(ask get sentinel)" ] || fail "no suite has flushed the Redis at 6379"
echo 'behind cargo transient exec, no run fails'
