//! The fixtures as rstest calls them.

use rstest::{fixture, rstest};
use transient_fixtures::{Settings, TestRequest, clean_redis, test_request, test_settings};

use crate::child::Child;

#[rstest]
fn by_its_own_name(test_request: TestRequest) {
    assert!(test_request.redis_url().ends_with("/14"));
}

#[rstest]
fn by_another_name(#[from(test_request)] request: TestRequest) {
    assert!(request.jobs_url().ends_with("/15"));
}

#[fixture]
fn shop(test_request: TestRequest, test_settings: Settings) -> (TestRequest, Settings) {
    (test_request, test_settings)
}

#[rstest]
#[clean_redis]
fn inside_another_fixture(shop: (TestRequest, Settings)) {
    assert_eq!(shop.0.settings().file(), shop.1.file());
}

#[rstest]
fn settings_need_no_server(test_settings: Settings) {
    println!("provider {:?}", test_settings.get("redis.provider"));
}

#[test]
fn settings_load_without_a_server() {
    let child = Child::test("fixtures::settings_need_no_server").env("TRANSIENT_PROVIDER", "process");
    let ended = child.env("TRANSIENT_SERVER_BINARY", "/nowhere/redis-server").run();
    ended.assert_passed();
    assert!(ended.output.contains("provider Some(\"process\")"), "{}", ended.output);
}

/// The panic is at one of the test's attributes, not inside the crate.
#[rstest]
#[case::fixture("by_its_own_name")]
#[case::attribute("inside_another_fixture")]
#[case::settings("settings_need_no_server")]
fn panics_at_the_authors_line(#[case] test: &str) {
    let ended = Child::test(&format!("fixtures::{test}")).env("TRANSIENT_PROVIDER", "nonsense").run();
    let lines: Vec<_> = include_str!("fixtures.rs").lines().collect();
    let function = lines.iter().position(|line| line.starts_with(&format!("fn {test}("))).expect("the test");
    let attributes = (0..function).rev().take_while(|line| lines[*line].starts_with("#["));
    let mut places = attributes.map(|line| format!("panicked at tests/it/fixtures.rs:{}:1", line + 1));
    assert!(places.any(|place| ended.output.contains(&place)), "{}", ended.output);
    ended.assert_failed_with(&["TRANSIENT_PROVIDER", "nonsense"]);
}
