use transient_fixtures::clean_redis;

#[clean_redis]
fn errors_in_the_body_are_the_authors_own() {
    let number: u32 = "seven";
    drop(number);
}

fn main() {
    errors_in_the_body_are_the_authors_own();
}
