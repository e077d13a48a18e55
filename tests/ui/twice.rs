use transient_fixtures::clean_redis;

#[clean_redis]
#[test]
#[clean_redis]
fn cleaned_twice() {}

fn main() {}
