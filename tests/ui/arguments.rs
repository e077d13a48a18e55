use transient_fixtures::{TestRequest, clean_redis};

#[clean_redis]
#[test]
fn without_any_provider(test_request: TestRequest) {
    drop(test_request);
}

struct Suite;

impl Suite {
    #[clean_redis]
    fn a_method(&self) {}
}

fn main() {
    Suite.a_method();
}
