# Mutation testing of the shop's tests: for each mutant that its replay calls untested, the tests themselves agree.
needs packages
run mutate-build cargo build --package cargo-transient
run mutate-shop-build cargo nextest run --package shop --no-run
mutate=("${CARGO_TARGET_DIR:-$PWD/target}/debug/cargo-transient" mutate --suite all --time 50s --json "$scratch/mutate.json")
# 1: something is untested. 124 and other codes are failures.
rc=0
"${mutate[@]}" -- cargo nextest run --package shop --test cache --test login \
    >"$logs/mutate.log" 2>&1 || rc=$?
[ "$rc" = 1 ] || { cat "$logs/mutate.log"; fail "mutate: exit code $rc"; }
python3 - "$scratch/mutate.json" <<'CHECK' || { cat "$logs/mutate.log"; fail "the replay and the suite do not agree"; }
import json
import sys

report = json.load(open(sys.argv[1]))
print("mutants: {mutants}, certain by replay: {certain}, of which the suite was run for {certain_and_run}".format(**report))
assert report["tests_on_redis"] and report["commands"] > 100 and report["certain"] > 0, report
assert report["contradictions"] == [] and report["certain_and_run"] == report["certain"], report
CHECK
