# This run has left no process, container or directory.
# Runs alone.
directories() { find "$scratch"/[0-9]* -maxdepth 1 -name 'transient-fixtures-*'; }
# A container takes some seconds to notice that no client is connected.
while [ "$SECONDS" -lt 60 ]; do
    left=$(.ci/left.py "$CI_ROOT") containers=$(containers) directories=$(directories)
    [ -n "$left$containers$directories" ] || break
    sleep 0.2
done
[ -z "$left" ] || fail "processes are left: $left"
[ -z "$containers" ] || fail "containers are left: $containers"
[ -z "$directories" ] || { for each in $directories; do ls -la "$each"; tail -n 20 "$each"/*.log; done; fail "directories are left"; }
echo 'no process, no container, no directory'
