# The README's two commands and nextest, with redis-server on PATH.
# Runs in the background.
needs tests
own_network
process=("${inside[@]}" env "$no_engine" EXPECTED_PROVIDER=process)
for number in 0 1; do
    run "process-$number" "${process[@]}" RUST_TEST_NOCAPTURE=1 bash -c "$(readme_command $number) -- $own_servers"
done
run process-nextest "${process[@]}" cargo nextest run --workspace --success-output immediate \
    -E "$process_tests"
# The features that are off by default.
run process-doctests env TRANSIENT_PROVIDER=process cargo test --doc --all-features
run process-library env TRANSIENT_PROVIDER=process cargo test --lib --all-features
check_provider process "$logs"/process-*.log
