# Nothing that this run started is left: no process, no container, no directory.
containers() { docker ps --all --format '{{.ID}} {{.Image}} {{.Status}} {{.Names}}' | grep " $images/" || true; }
directories() { find "$TMPDIR" -maxdepth 1 -name 'transient-fixtures-*'; }
for _ in $(seq 150); do
    left=$(.ci/left.py "$CI_ROOT") containers=$(containers) directories=$(directories)
    [ -n "$left$containers$directories" ] || break
    sleep 0.1
done
[ -z "$left" ] || fail "processes are left: $left"
[ -z "$containers" ] || fail "containers are left: $containers"
[ -z "$directories" ] || { for each in $directories; do ls -la "$each"; tail -n 20 "$each"/*.log; done; fail "directories are left"; }
echo 'no process, no container, no directory'
