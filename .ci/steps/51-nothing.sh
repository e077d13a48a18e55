# Without any server, every test fails with the report, and within half a minute.
bare=$(minimal_path) report=$(sed -n '/^## no_server$/{n;p;}' src/report/golden/report.txt)
run nothing-build cargo test --package shop --test cache --no-run
start=$SECONDS
if env PATH="$bare" "$no_engine" XDG_CACHE_HOME="$scratch/empty" TRANSIENT_OFFLINE=1 cargo test --package shop --test cache >"$logs/nothing.log" 2>&1; then
    fail "the shop's tests pass without a server"
fi
grep -aq '0 passed; 8 failed' "$logs/nothing.log" && [ "$(grep -acF "$report" "$logs/nothing.log")" = 8 ] ||
    { cat "$logs/nothing.log"; fail "not every test reports the missing server"; }
[ $((SECONDS - start)) -lt 30 ] || fail "finding out that there is no server took $((SECONDS - start)) s"
echo 'all 8 tests of the shop fail with the report'
