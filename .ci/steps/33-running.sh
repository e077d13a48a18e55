# The README's two commands and nextest, with a Redis running at port 6379; and with that server named by URL.
# Runs in the background.
needs tests
start_redis
inside_cli() { "${inside[@]}" redis-cli "$@"; }
inside_cli set cart:1 "production" >/dev/null
for number in 0 1; do
    run "running-$number" "${inside[@]}" env EXPECTED_PROVIDER=running RUST_TEST_NOCAPTURE=1 bash -c "$(readme_command $number)"
done
run running-nextest "${inside[@]}" env EXPECTED_PROVIDER=running cargo nextest run --workspace --success-output immediate \
    -E "$process_tests"
run running-named "${inside[@]}" env TRANSIENT_REDIS_URL=redis://localhost:6379 EXPECTED_PROVIDER=running RUST_TEST_NOCAPTURE=1 \
    cargo test --package shop
[ "$(inside_cli get cart:1)" = "production" ] || fail "database 0 of the running Redis was touched"
check_provider running "$logs"/running-*.log
