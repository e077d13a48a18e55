//! Misuse of `#[clean_redis]`: each file of tests/ui with the error that its author sees.

#[test]
fn misuse_is_reported_at_the_wrong_token() {
    trybuild::TestCases::new().compile_fail("../tests/ui/*.rs");
}
