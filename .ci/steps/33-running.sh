# A Redis running at 6379: the README's two commands, a process for every test, and the server by name.
# Beside what follows.
needs tests
start_redis
inside_cli() { "${inside[@]}" redis-cli "$@"; }
inside_cli set cart:1 "somebody's" >/dev/null
for number in 0 1; do
    run "running-$number" "${inside[@]}" env EXPECTED_PROVIDER=running RUST_TEST_NOCAPTURE=1 bash -c "$(promised $number)"
done
run running-nextest "${inside[@]}" env EXPECTED_PROVIDER=running cargo nextest run --workspace --success-output immediate
run running-named "${inside[@]}" env TRANSIENT_REDIS_URL=redis://localhost:6379 EXPECTED_PROVIDER=running RUST_TEST_NOCAPTURE=1 \
    cargo test --package shop
[ "$(inside_cli get cart:1)" = "somebody's" ] || fail "database 0 of the running Redis was touched"
served running "$logs"/running-*.log
