# With redis-server on PATH: the README's two commands, and a process for every test.
# Beside what follows.
needs packages download
for number in 0 1; do
    run "process-$number" env "$no_engine" EXPECTED_PROVIDER=process RUST_TEST_NOCAPTURE=1 bash -c "$(promised $number)"
done
run process-nextest env "$no_engine" EXPECTED_PROVIDER=process cargo nextest run --workspace --success-output immediate
run process-doctests env "$no_engine" cargo test --doc --all-features
served process "$logs"/process-*.log
