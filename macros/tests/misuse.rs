//! Misuse of `#[clean_redis]`: each file of tests/ui with the error that its author sees.

#[test]
fn misuse_is_explained_at_the_token_that_is_wrong() {
    trybuild::TestCases::new().compile_fail("../tests/ui/*.rs");
}
