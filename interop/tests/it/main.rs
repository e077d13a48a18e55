//! Sessions and jobs are what the frameworks say they are: each test has the real one beside it, on the same Redis.

mod actix_session;
mod celery;
mod celery_worker;
mod clients;
mod pyramid;
mod python;
mod rusty_celery;
mod sidekiq;
mod tls;
mod tower_sessions;
