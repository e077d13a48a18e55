# Time travel that moves the server's own clock with libfaketime.
needs packages download
run whole-clock-law env TRANSIENT_CLOCK=whole TRANSIENT_PROVIDER=download cargo test --workspace --test it -- travel::
run whole-clock cargo test --workspace --test clock
