//! The Python side: a Pyramid shop, applications that queue jobs, and workers.

use std::env;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use transient_fixtures::TestRequest;

/// The timeout of everything that Python does. Generous, because the machine can be busy.
const LIMIT: Duration = Duration::from_secs(60);

/// The Python with the frameworks. Without it the tests fail.
pub(crate) fn python() -> Command {
    let python = env::var_os("INTEROP_PYTHON").expect("INTEROP_PYTHON is not set: start these tests with ./run");
    let mut command = Command::new(python);
    command.current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python"));
    // Writes no bytecode beside the sources, and does not buffer output.
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    // Pyramid warns about its old login interface, and Celery about running as root.
    command.env("PYTHONWARNINGS", "ignore");
    command
}

/// Killed and reaped with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It can have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `shop.py`, while it runs.
pub(crate) struct Shop {
    /// The process ends before its pipes are closed.
    _process: Process,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A response of the shop.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) set_cookie: Vec<String>,
    pub(crate) body: Value,
}

impl Shop {
    /// Starts it with the settings of `test.ini` and these, and this version of `pyramid_session_redis`.
    pub(crate) fn open(version: &str, test_request: &TestRequest, more: &Value) -> Self {
        let mut settings = json!({
            "redis.sessions.redis_url": test_request.redis_url(),
            "redis.sessions.prefix": test_request.settings().session_prefix(),
            "redis.sessions.timeout": test_request.settings().session_timeout().as_secs(),
            "redis.sessions.secret": test_request.settings().get("redis.sessions.secret"),
        });
        for (name, value) in more.as_object().expect("settings") {
            settings[name] = value.clone();
        }
        let mut command = python();
        if version == "1.7" {
            command.env("PYTHONPATH", beside("1.7"));
        }
        command.arg("shop.py").arg(settings.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start Python");
        let requests = child.stdin.take().expect("its stdin");
        let answers = BufReader::new(child.stdout.take().expect("its stdout"));
        Self { _process: Process(child), requests, answers }
    }

    /// Sends a request with this cookie. The response has a JSON body.
    pub(crate) fn post(&mut self, path: &str, cookie: &str, body: impl Into<Value>) -> Answer {
        self.post_with(path, &json!({"Cookie": cookie}), body)
    }

    pub(crate) fn post_with(&mut self, path: &str, headers: &Value, body: impl Into<Value>) -> Answer {
        let request = json!({"method": "POST", "path": path, "headers": headers, "body": body.into()});
        writeln!(self.requests, "{request}").expect("ask the shop");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the shop's answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{path}: {error}: {line:?}; see its stderr"))
    }
}

/// Queues jobs with this version of Celery; `produce.py` documents the calls. `conf` is the application's.
pub(crate) fn produce(test_request: &TestRequest, version: &str, conf: &Value, calls: &Value) -> Vec<Value> {
    ids_from(celery(test_request, version, conf).arg("produce.py"), calls)
}

/// Queues jobs with this version of RQ; `rq_produce.py` documents the calls.
pub(crate) fn rq_produce(test_request: &TestRequest, version: &str, calls: &Value) -> Vec<Value> {
    ids_from(rq(test_request, version).arg("rq_produce.py"), calls)
}

/// Passes these calls to a program, and returns its output.
pub(crate) fn ids_from(command: &mut Command, calls: &Value) -> Vec<Value> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start the program");
    child.stdin.take().expect("its stdin").write_all(calls.to_string().as_bytes()).expect("tell it");
    let output = child.wait_with_output().expect("its output");
    assert!(output.status.success(), "{command:?} has failed; see its stderr");
    serde_json::from_slice(&output.stdout).expect("ids")
}

/// This version of RQ. The rest of the text is for its environment.
fn rq(test_request: &TestRequest, version: &str) -> Command {
    let mut command = python();
    let (version, setting) = version.split_once(' ').unwrap_or((version, ""));
    command.envs(setting.split_once('='));
    if version != "3.0" {
        command.env("PYTHONPATH", beside(&format!("rq-{version}")));
    }
    command.env("JOBS_URL", test_request.jobs_url()).env("RESULTS_URL", test_request.redis_url());
    command.env("RQ_VERSION", version);
    command
}

/// Runs RQ's scheduler, then its worker for all jobs that are due.
pub(crate) fn rq_work(test_request: &TestRequest, version: &str, serializer: Option<&str>, queues: &[&str]) {
    let mut worker = rq(test_request, version);
    worker.args(["-m", "rq.cli", "worker", "--burst", "--with-scheduler", "--url", test_request.jobs_url()]);
    worker.args(serializer.map(|serializer| format!("--serializer={serializer}"))).args(queues);
    let output = worker.stdin(Stdio::null()).output().expect("start Python");
    assert!(output.status.success(), "the worker has failed: {}", String::from_utf8_lossy(&output.stderr));
}

/// The directory of a package in another version.
fn beside(name: &str) -> PathBuf {
    let python = env::var_os("INTEROP_PYTHON").map(PathBuf::from).expect("INTEROP_PYTHON");
    python.ancestors().nth(2).expect("its environment").join(name)
}

fn celery(test_request: &TestRequest, version: &str, conf: &Value) -> Command {
    celery_at((test_request.jobs_url(), test_request.redis_url()), version, conf)
}

/// The URLs are those of the jobs and of the notes.
fn celery_at(urls: (&str, &str), version: &str, conf: &Value) -> Command {
    let mut command = python();
    if version == "5.2" {
        command.env("PYTHONPATH", beside("celery-5.2"));
    }
    command.env("EXPECTED_CELERY", version);
    command.env("BROKER_URL", urls.0).env("RESULTS_URL", urls.1);
    command.env("CONF", conf.to_string());
    command
}

/// A worker that takes jobs from these queues, one at a time.
pub(crate) struct Worker {
    process: Process,
    log: std::fs::File,
}

impl Worker {
    pub(crate) fn start(test_request: &TestRequest, version: &str, queues: &str, conf: &Value) -> Self {
        Self::start_at((test_request.jobs_url(), test_request.redis_url()), version, queues, conf)
    }

    /// As `celery_at`.
    pub(crate) fn start_at(urls: (&str, &str), version: &str, queues: &str, conf: &Value) -> Self {
        let mut command = celery_at(urls, version, conf);
        command.args(["-m", "celery", "-A", "tasks", "worker", "--pool", "solo", "--concurrency", "1"]);
        command.args(["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "warning", "-Q", queues]);
        Self::run(&mut command)
    }

    /// RQ's worker, without a process for each job.
    pub(crate) fn of_rq(test_request: &TestRequest, version: &str, queue: &str) -> Self {
        let mut command = rq(test_request, version);
        command.args(["-m", "rq.cli", "worker", "--worker-class", "rq.SimpleWorker"]);
        Self::run(command.args(["--url", test_request.jobs_url(), queue]))
    }

    pub(crate) fn run(command: &mut Command) -> Self {
        let log = tempfile::tempfile().expect("a file for its output");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("duplicate"));
        command.stderr(log.try_clone().expect("duplicate"));
        Self { process: Process(command.spawn().expect("start the program")), log }
    }

    /// Retries until there is an answer.
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            let ended = self.process.0.try_wait().expect("look after the worker").is_some();
            assert!(!ended && Instant::now() < deadline, "no {what} within {LIMIT:?}; the worker:\n{}", self.output());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn output(&mut self) -> String {
        self.log.seek(SeekFrom::Start(0)).expect("its output");
        std::io::read_to_string(&self.log).expect("its output")
    }
}
