use transient_fixtures::clean_redis;

#[clean_redis(keep)]
#[test]
fn with_an_unknown_option() {}

#[clean_redis(fixtures)]
#[test]
fn with_an_option_that_takes_values() {}

#[clean_redis(fixtures())]
#[test]
fn with_an_option_that_takes_more_than_nothing() {}

#[clean_redis(lint = "size")]
#[test]
fn with_an_unknown_lint() {}

#[clean_redis(lint = "ttl <= 7")]
#[test]
fn with_a_bound_without_a_unit() {}

#[clean_redis(lint = "ttl < 99999999999999999w")]
#[test]
fn with_a_bound_beyond_all_times() {}

#[clean_redis(lint = "ttl", lint = "none")]
#[test]
fn with_a_lint_twice() {}

#[clean_redis("transient")]
#[test]
fn with_a_literal() {}

#[clean_redis = "transient"]
#[test]
fn with_a_value() {}

#[clean_redis(crate = "transient_fixtures", crate = "transient_fixtures")]
#[test]
fn with_an_option_twice() {}

#[clean_redis(crate = transient_fixtures)]
#[test]
fn with_a_path_that_is_not_a_string() {}

fn main() {}
