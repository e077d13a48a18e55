# The documentation in new crates, with foreign data on port 6379: the README's first chapter, and all code in docs.
needs packages
export CARGO_TARGET_DIR=$PWD/target
stranger=$scratch/stranger fresh=$scratch/fresh
run fresh env TRANSIENT_PROVIDER=process .ci/stranger.py "$fresh" "$stranger"
grep -a '^commands to the first green test: ' "$logs/fresh.log"

start_redis
inside_cli() { "${inside[@]}" redis-cli -n "$@"; }
for database in 0 14 15; do inside_cli "$database" set cart:1 "production" >/dev/null; done
run stranger-build cargo test --manifest-path "$stranger/Cargo.toml" --no-run
run stranger "${inside[@]}" env "$no_engine" RUST_TEST_NOCAPTURE=1 cargo test --manifest-path "$stranger/Cargo.toml"
grep -aqE 'not used: .*redis://127\.0\.0\.1:6379.* database 14 .*1 key' "$logs/stranger.log" ||
    fail "the output does not state why the Redis at 6379 is not used"
for database in 0 14 15; do
    [ "$(inside_cli "$database" keys '*') $(inside_cli "$database" get cart:1)" = "cart:1 production" ] ||
        fail "database $database of the stranger's Redis was touched"
done
