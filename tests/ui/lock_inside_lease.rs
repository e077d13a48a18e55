use rstest::rstest;
use serial_test::serial;
use transient_fixtures::clean_redis;

mod tests {
    use super::*;

    #[serial]
    #[rstest]
    #[clean_redis]
    fn serial_expands_before_rstest() {}
}

fn main() {}
