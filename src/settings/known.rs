//! The known settings, and the names that are not read.

use super::values;
use crate::report::settings as report;

/// A setting: its key in test.ini, its variable, its default, and a description of the valid values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) key: &'static str,
    pub(crate) variable: Option<&'static str>,
    pub(crate) default: &'static str,
    pub(crate) legal: &'static str,
}

const fn known(key: &'static str, variable: Option<&'static str>, default: &'static str, legal: &'static str) -> Known {
    Known { key, variable, default, legal }
}

pub(super) const URL: Known = known(
    "redis.sessions.url",
    Some("TRANSIENT_REDIS_URL"),
    "redis://127.0.0.1:6379",
    "a URL such as redis://127.0.0.1:6379, redis://:password@host:6379 or unix:///run/redis.sock",
);
// The defaults of redis.sessions.* are those of pyramid_redis_sessions 1.0.1.
// The next five have no effect if there is a URL, as in both libraries.
pub(super) const HOST: Known = known("redis.sessions.host", None, "localhost", "a host name or an IP address");
pub(super) const PORT: Known = known("redis.sessions.port", None, "6379", "a port number from 1 to 65535");
pub(super) const DB: Known = known("redis.sessions.db", None, "0", "a database number");
pub(super) const SERVER_PASSWORD: Known = known("redis.sessions.password", None, "", "any text");
pub(super) const SOCKET: Known =
    known("redis.sessions.unix_socket_path", None, "", "the absolute path of a unix socket");
pub(super) const PREFIX: Known = known("redis.sessions.prefix", None, "", "any text");
pub(super) const TIMEOUT: Known = known("redis.sessions.timeout", None, "1200", values::SECONDS_OR_NONE);
pub(super) const COOKIE_MAX_AGE: Known = known("redis.sessions.cookie_max_age", None, "", values::SECONDS_OR_NONE);
pub(super) const COOKIE_NAME: Known = known("redis.sessions.cookie_name", None, "session", values::COOKIE_NAME_TEXT);
pub(super) const COOKIE_SECURE: Known = known("redis.sessions.cookie_secure", None, "false", values::BOOLEAN);
pub(super) const COOKIE_HTTPONLY: Known = known("redis.sessions.cookie_httponly", None, "true", values::BOOLEAN);
pub(super) const COOKIE_PATH: Known = known("redis.sessions.cookie_path", None, "/", values::COOKIE_TEXT);
pub(super) const COOKIE_DOMAIN: Known = known("redis.sessions.cookie_domain", None, "", values::COOKIE_TEXT);
pub(super) const COOKIE_SAMESITE: Known = known("redis.sessions.cookie_samesite", None, "", values::SAME_SITES);
pub(super) const PYTHON_EXPIRES: Known = known("redis.sessions.python_expires", None, "true", values::BOOLEAN);
pub(super) const TIMEOUT_TRIGGER: Known = known("redis.sessions.timeout_trigger", None, "", values::SECONDS_OR_NONE);
pub(super) const SET_REDIS_TTL: Known = known("redis.sessions.set_redis_ttl", None, "true", values::BOOLEAN);
pub(super) const SECRET: Known = known("redis.sessions.secret", None, "", "any text");
pub(super) const BROKER: Known = known("celery.broker_url", None, "", "a URL on the server of redis.sessions.url");
pub(super) const CELERY: Known = known("websauna.celery_config", None, "", "a Python dictionary with broker_url");
pub(super) const SECRETS_FILE: Known =
    known("websauna.secrets_file", None, "", "the path, file:// URL or resource:// URL of an INI file");
pub(super) const DATABASES: Known = known("redis.databases", None, "14, 15", values::DATABASES_TEXT);
pub(super) const PROVIDER: Known = known("redis.provider", Some("TRANSIENT_PROVIDER"), "auto", values::PROVIDERS);
pub(super) const IMAGE: Known = known(
    "redis.image",
    Some("TRANSIENT_IMAGE"),
    "redis:8.2.1-alpine",
    "the name of an image such as valkey/valkey:9.0",
);
pub(super) const SERVER_BINARY: Known = known(
    "redis.server_binary",
    Some("TRANSIENT_SERVER_BINARY"),
    "",
    "the path of a redis-server or valkey-server binary",
);
pub(super) const DOWNLOAD: Known = known("redis.download", None, "true", values::BOOLEAN);
pub(super) const PASSWORD: Known = known("redis.password", Some("TRANSIENT_PASSWORD"), "random", values::PASSWORDS);
pub(super) const ADOPT: Known = known("redis.adopt", Some("TRANSIENT_ADOPT"), "false", values::BOOLEAN);
pub(super) const CLOCK: Known = known("redis.clock", Some("TRANSIENT_CLOCK"), "ageing", values::CLOCKS);
pub(super) const LINT: Known = known("redis.lint", None, "none", values::LINTS);
pub(super) const LINT_ALLOW: Known = known("redis.lint_allow", None, "", "key patterns such as config:*");
pub(super) const LEASE_TIMEOUT: Known =
    known("redis.lease_timeout", Some("TRANSIENT_LEASE_TIMEOUT"), "120", values::SECONDS);

/// Every setting, in the order of the table in docs/settings.md.
pub(crate) const ALL: [Known; 33] = [
    URL,
    HOST,
    PORT,
    DB,
    SERVER_PASSWORD,
    SOCKET,
    PREFIX,
    TIMEOUT,
    COOKIE_MAX_AGE,
    COOKIE_NAME,
    COOKIE_SECURE,
    COOKIE_HTTPONLY,
    COOKIE_PATH,
    COOKIE_DOMAIN,
    COOKIE_SAMESITE,
    PYTHON_EXPIRES,
    TIMEOUT_TRIGGER,
    SET_REDIS_TTL,
    SECRET,
    BROKER,
    CELERY,
    SECRETS_FILE,
    DATABASES,
    PROVIDER,
    IMAGE,
    SERVER_BINARY,
    DOWNLOAD,
    PASSWORD,
    ADOPT,
    LEASE_TIMEOUT,
    CLOCK,
    LINT,
    LINT_ALLOW,
];

/// Variables without a key in test.ini.
pub(crate) const TEST_INI: &str = "TRANSIENT_TEST_INI";
pub(crate) const OFFLINE: &str = "TRANSIENT_OFFLINE";
pub(crate) const KEEP: &str = "TRANSIENT_KEEP";
pub(crate) const REPLAY: &str = "TRANSIENT_REPLAY";
pub(crate) const SCHEDULES_DIRECTORY: &str = "TRANSIENT_SCHEDULES";

/// Names in `pyramid_session_redis` 1.7 and 1.8 for settings that `pyramid_redis_sessions` names differently.
pub(super) const OTHER_NAMES: [(&str, Known); 6] = [
    ("redis.sessions.redis_url", URL),
    ("redis.sessions.redis_host", HOST),
    ("redis.sessions.redis_port", PORT),
    ("redis.sessions.redis_db", DB),
    ("redis.sessions.redis_password", SERVER_PASSWORD),
    ("redis.sessions.redis_unix_socket_path", SOCKET),
];

/// The other keys of the two libraries under `redis.sessions.*`, and the reason why they have no effect here.
pub(super) const NOT_READ: [(&str, &str); 27] = [
    ("serialize", report::IS_A_SERIALIZER),
    ("deserialize", report::IS_A_SERIALIZER),
    ("id_generator", report::IS_PYTHON),
    ("cookie_signer", report::IS_A_SIGNER),
    ("func_check_response_allow_cookies", report::IS_PYTHON),
    ("func_invalid_logger", report::IS_PYTHON),
    ("client_callable", report::IS_PYTHON),
    ("redis_client_callable", report::IS_PYTHON),
    ("connection_pool", report::IS_PYTHON),
    ("redis_connection_pool", report::IS_PYTHON),
    ("socket_timeout", report::IS_OF_THE_CLIENT),
    ("redis_socket_timeout", report::IS_OF_THE_CLIENT),
    ("charset", report::IS_OF_THE_CLIENT),
    ("redis_charset", report::IS_OF_THE_CLIENT),
    ("errors", report::IS_OF_THE_CLIENT),
    ("redis_errors", report::IS_OF_THE_CLIENT),
    ("encoding", report::IS_OF_THE_CLIENT),
    ("redis_encoding", report::IS_OF_THE_CLIENT),
    ("encoding_errors", report::IS_OF_THE_CLIENT),
    ("redis_encoding_errors", report::IS_OF_THE_CLIENT),
    ("set_redis_ttl_readheavy", report::IS_OF_THE_CLIENT),
    ("cookie_comment", report::IS_NO_ATTRIBUTE),
    ("cookie_expires", report::IS_NO_ATTRIBUTE),
    ("cookie_on_exception", report::IS_OF_A_RESPONSE),
    ("deserialized_fails_new", report::IS_OF_A_RESPONSE),
    ("detect_changes", report::IS_OF_A_RESPONSE),
    ("invalidate_empty_session", report::IS_OF_A_RESPONSE),
];
