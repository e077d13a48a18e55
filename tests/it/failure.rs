//! The output of a failed test after its panic.

use std::path::Path;
use std::time::Duration;

use redis::Commands;
use rstest::rstest;
use transient_fixtures::jobs::{Entry, KeyRole, Place};
use transient_fixtures::{Job, JobFormat, TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::{Child, Ended};
use crate::golden::golden;
use crate::own_server::own_provider;

mod failing {
    use super::{
        Commands, Duration, Entry, Job, JobFormat, KeyRole, Place, TestRequest, clean_redis, get_redis, redis, rstest,
        test_request,
    };

    fn work(test_request: &TestRequest) {
        let mut redis = get_redis(test_request).expect("connect");
        redis.set_ex::<_, _, ()>("code:asa", "123456", 300).expect("SETEX");
        redis.set::<_, _, ()>("brand:1", "Ångström").expect("SET");
        let job = Job::new("shop.send_mail").with_args(("asa@example.com",)).with_queue("mail");
        test_request.jobs().enqueue(job).expect("enqueue");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn panics(test_request: TestRequest) {
        work(&test_request);
        panic!("on purpose");
    }

    /// Messages that have only a name, in lists named like their queue.
    #[derive(Debug)]
    struct Names;

    impl JobFormat for Names {
        fn places(&self, queue: &str) -> Vec<Place> {
            vec![Place::list(format!("names:{queue}"))]
        }
        fn key_role(&self, key: &str) -> KeyRole {
            key.strip_prefix("names:").map_or(KeyRole::Unknown, |queue| KeyRole::Queue(queue.to_owned()))
        }
        fn decode(&self, entry: &Entry) -> Job {
            Job::new(entry.text())
        }
        fn encode(&self, job: &Job) -> Result<redis::Pipeline, Box<dyn std::error::Error + Send + Sync>> {
            let mut commands = redis::pipe();
            commands.rpush(format!("names:{}", job.queue()), job.name().ok_or("no name")?);
            Ok(commands)
        }
    }

    /// Two queues, each in its own format's terms.
    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn has_two_queues(test_request: TestRequest) {
        let jobs = test_request.jobs_with_format(Names);
        for name in ["send_mail", "send_mail", "count"] {
            jobs.enqueue(Job::new(name).with_queue("shop")).expect("enqueue");
        }
        work(&test_request);
        test_request.travel(Duration::from_secs(1)).expect("travel");
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn returns_an_error(test_request: TestRequest) -> Result<(), String> {
        work(&test_request);
        Err("on purpose".to_owned())
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    #[tokio::test]
    async fn panics_in_a_runtime(test_request: TestRequest) {
        work(&test_request);
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[timeout(Duration::from_secs(5))]
    #[clean_redis]
    fn times_out(test_request: TestRequest) {
        work(&test_request);
        std::thread::sleep(Duration::from_secs(20));
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[case(1)]
    #[clean_redis]
    fn fails_in_a_case(test_request: TestRequest, #[case] number: u32) {
        work(&test_request);
        assert_eq!(number, 2);
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn leaves_much(test_request: TestRequest) {
        let mut redis = get_redis(&test_request).expect("connect");
        for number in 0..500 {
            redis.set::<_, _, ()>(format!("key:{number}"), "x".repeat(10_000)).expect("SET");
            test_request.jobs().enqueue(Job::new("count").with_args((number,))).expect("enqueue");
        }
        // One job and one key that would fill a screen each.
        test_request.jobs().enqueue(Job::new("long").with_args("å".repeat(500_000)).with_queue("a")).expect("enqueue");
        redis::cmd("XGROUP").arg(&["CREATE", "a", "mail", "0", "MKSTREAM"]).exec(&mut redis).expect("XGROUP");
        for number in 0..200 {
            redis::cmd("XGROUP").arg(&["CREATECONSUMER", "a", "mail"]).arg(number).exec(&mut redis).expect("XGROUP");
        }
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(fixtures("brands"))]
    fn changes_the_loaded_data(test_request: TestRequest) {
        let mut redis = get_redis(&test_request).expect("connect");
        redis.del::<_, ()>("brand:2").expect("DEL");
        redis.set::<_, _, ()>("brand:3", "\0\u{ff}").expect("SET");
        redis.expire::<_, ()>("brand:1", 200).expect("EXPIRE");
        redis.hset::<_, _, _, ()>("brand:1:prices", "cap", 1).expect("HSET");
        redis.sadd::<_, _, ()>("seen", &["brand:1", "brand:3"]).expect("SADD");
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn leaves_nothing(test_request: TestRequest) {
        panic!("on purpose, on {}", test_request.server());
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn ends_its_server(test_request: TestRequest) {
        let mut redis = get_redis(&test_request).expect("connect");
        redis::cmd("SHUTDOWN").arg("NOSAVE").exec(&mut redis).expect_err("it hangs up");
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn pauses_its_server(test_request: TestRequest) {
        let mut redis = get_redis(&test_request).expect("connect");
        redis::cmd("CLIENT").arg("PAUSE").arg(60_000).arg("ALL").exec(&mut redis).expect("CLIENT PAUSE");
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    #[should_panic(expected = "on purpose")]
    fn passes_by_panicking(test_request: TestRequest) {
        work(&test_request);
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn passes(test_request: TestRequest) {
        work(&test_request);
    }
}

fn run(test: &str) -> Ended {
    let child = Child::test(&format!("failure::failing::{test}")).env("TRANSIENT_PROVIDER", own_provider());
    child.env("CARGO_PKG_NAME", "transient-fixtures").run()
}

/// The output after the panic.
fn told(ended: &Ended) -> &str {
    let start = ended.output.find("transient-fixtures: it::failure::failing::").expect("a report");
    let end = ended.output[start..].find("--nocapture").expect("the command") + "--nocapture".len();
    &ended.output[start..start + end]
}

#[rstest]
#[case("panics", "panics")]
#[case("returns_an_error", "returns_an_error")]
#[case("panics_in_a_runtime", "panics_in_a_runtime")]
#[case("times_out", "times_out")]
#[case("fails_in_a_case", "fails_in_a_case::case_1")]
fn a_failed_test_reports_its_changes(#[case] filter: &str, #[case] name: &str) {
    let filter = if filter == name { name } else { "fails_in_a_case::case_1" };
    let ended = run(filter);
    ended.assert_failed_with(&[]);
    let told = told(&ended);
    let lines: Vec<_> = told.lines().collect();
    let first = format!("transient-fixtures: it::failure::failing::{name} failed on ");
    assert!(lines[0].starts_with(&first) && lines[0].contains(" at 127.0.0.1:"), "{told}");
    for words in ["code:asa", "123456", "brand:1", "Ångström", "mail: shop.send_mail(\"asa@example.com\")"] {
        assert!(told.contains(words), "{words:?} is missing in: {told}");
    }
    let rerun = format!(
        " TRANSIENT_KEEP=1 cargo test --package transient-fixtures -- --exact failure::failing::{name} --include-ignored \
         --nocapture"
    );
    assert!(lines.last().is_some_and(|line| line.ends_with(&rerun)), "{told}");
    if let Some(panic) = ended.output.find("panicked at") {
        assert!(panic < ended.output.find(&first).expect("a report"), "it comes before the panic");
    }
}

#[rstest]
#[case("panics")]
#[case("changes_the_loaded_data")]
#[case("has_two_queues")]
fn the_report_is_golden(#[case] name: &str) {
    let ended = run(name);
    let told = told(&ended);
    // The name of the server differs.
    let (_, server) = told.split_once(" failed on ").expect("a server");
    let (server, _) = server.split_once(". ").expect("changes");
    let told = told.replace(server, "PRODUCT VERSION at ADDRESS (PROVIDER), databases 14 and 15") + "\n";
    let told = crate::snapshot::shown::rounded(&told);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/failure/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &told).expect("write");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file");
    assert_eq!(told, expected, "UPDATE_GOLDEN=1 renews {}", golden.display());
}

#[test]
fn the_report_fits_on_a_screen() {
    let ended = run("leaves_much");
    let told = told(&ended);
    assert!(told.lines().count() < 50 && told.len() < 10_000, "{told}");
    assert!(told.contains("more") && told.contains("and 485 more"), "{told}");
}

#[test]
fn an_unchanged_database_and_a_lost_server_are_reported() {
    let ended = run("leaves_nothing");
    assert!(told(&ended).contains(golden("failure::UNCHANGED")));
    let ended = run("ends_its_server");
    ended.assert_failed_with(&["on purpose", golden("failure::not_seen")]);
}

/// The author does not wait long for data that can't be read.
#[test]
fn does_not_wait_for_a_paused_server() {
    let ended = run("pauses_its_server");
    ended.assert_failed_with(&["on purpose", golden("failure::not_seen")]);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
}

#[rstest]
#[case("passes")]
#[case("passes_by_panicking")]
fn a_passed_test_prints_nothing(#[case] test: &str) {
    let ended = run(test);
    ended.assert_passed();
    assert!(
        !ended.output.contains(golden("failure::changes")) && !ended.output.contains("TRANSIENT_KEEP=1"),
        "{}",
        ended.output
    );
}
