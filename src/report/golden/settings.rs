use std::path::Path;

use super::super::settings::*;
use super::{PLACE, URL};

#[test]
fn settings_is_golden() {
    let path = Path::new("/shop/test.ini");
    let other = Path::new("/shop/redis.ini");
    golden!(
        "settings",
        [bad_value(&PLACE, "redis.lease_timeout", "soon", "a number of seconds"), "short"],
        [bad_value(&PLACE, "redis.lease_timeout", &"9".repeat(100), "a number of seconds"), "long"],
        [not_unicode("TRANSIENT_REDIS_URL")],
        [unreadable_ini(path)],
        [open_section(path, 3, "[app:main")],
        [no_key(path, 3)],
        [key_before_section(path, 3, "redis.clock")],
        [key_twice(path, 3, 7, "app:main", "redis.clock")],
        [section_twice(path, 3, 7, "app:main")],
        [no_delimiter(path, 3, "redis.clock")],
        [no_such_test_ini(path)],
        [no_such_include(path, 3, other)],
        [too_many_includes(path, 3, 100)],
        [url_without_host(&PLACE, "redis.sessions.url", "redis://")],
        [at_sign_after_host(&PLACE, "redis.sessions.url", "redis://***@redis.example.com")],
        [include_circle(path)],
        [url_and_other_provider("process")],
        [broker_elsewhere(&PLACE, "celery.broker_url", "redis://redis.example.com", URL)],
        [unknown_key(&PLACE, "redis.clocks", Some("redis.clock")), "one has nearly that name"],
        [unknown_key(&PLACE, "redis.visitors", None), "none has nearly that name"],
        [unknown_variable("TRANSIENT_REDIS", Some("TRANSIENT_REDIS_URL")), "one has nearly that name"],
        [unknown_variable("TRANSIENT_REDIS", None), "none has nearly that name"],
        [IS_A_SERIALIZER],
        [IS_PYTHON],
        [IS_A_SIGNER],
        [IS_OF_THE_CLIENT],
        [IS_NO_ATTRIBUTE],
        [IS_OF_A_RESPONSE],
        [unread_key(&PLACE, "redis.sessions.serialize", IS_A_SERIALIZER)],
        [beside_url(&PLACE, "redis.sessions.host")],
        [two_names(path, 3, 7, "redis.sessions.host", "redis.sessions.redis_host")],
        [no_secrets_file(path, 3, "secrets.ini")],
        [no_variable(&PLACE, "redis.sessions.secret", "SHOP_SECRET")],
        [more_notes(12), "several"],
        [more_notes(1), "one"],
        [skipped_include(path, 3, "redis.ini")],
    );
}
