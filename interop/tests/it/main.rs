//! Compares sessions and jobs with the real frameworks, on the same Redis.

mod actix_session;
mod apalis;
mod axum_session;
mod celery;
#[path = "celery.rs"]
#[allow(clippy::duplicate_mod, reason = "the same tests with an old version")]
mod celery_5_2;
mod celery_worker;
#[path = "celery_worker.rs"]
#[allow(clippy::duplicate_mod, reason = "the same tests with an old version")]
mod celery_worker_5_2;
mod clients;
mod framer;
mod pyramid;
#[path = "pyramid.rs"]
#[allow(clippy::duplicate_mod, reason = "the same tests with the version before")]
mod pyramid_1_7;
mod python;
mod races;
mod random;
mod rq;
mod ruby_sidekiq;
mod rusty_celery;
mod sidekiq;
mod tap;
mod tap_tls;
mod tls;
mod tower_sessions;
