//! What the output of a test runner tells: which tests ran, how they ended, and when each was announced.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::printed::Spoken;

/// A test runner whose output is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    Libtest,
    Nextest,
    Pytest,
    Unittest,
}

/// The tests of a run.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// The runner, if it is known.
    pub(super) runner: Option<Runner>,
    /// Whether each test passed, by its name.
    pub(super) passed: BTreeMap<String, bool>,
    /// How many tests the runner says that there were.
    pub(super) total: Option<usize>,
    /// The tests in the order in which they were announced, and when, since 1970.
    pub(super) announced: Vec<(Duration, String)>,
}

impl Outcomes {
    /// Reads the output of a run.
    pub(super) fn of(output: &[Spoken]) -> Self {
        let mut outcomes = Self::default();
        for (at, line) in output {
            outcomes.read(*at, &without_colours(line));
        }
        outcomes
    }

    /// The names of the tests that failed.
    pub(super) fn failed(&self) -> Vec<&str> {
        self.passed.iter().filter(|(_, passed)| !**passed).map(|(name, _)| name.as_str()).collect()
    }

    fn read(&mut self, at: Duration, line: &str) {
        let (runner, name, passed) = if let Some((name, passed)) = libtest(line) {
            (Runner::Libtest, name, passed)
        } else if let Some((name, passed)) = nextest(line) {
            (Runner::Nextest, name, Some(passed))
        } else if let Some((name, passed)) = unittest(line) {
            (Runner::Unittest, name, passed)
        } else if let Some((name, passed)) = pytest(line) {
            (Runner::Pytest, name, passed)
        } else if let (Some(Runner::Unittest), Some(passed)) = (self.runner, described(line)) {
            let Some((_, name)) = self.announced.last() else { return };
            (Runner::Unittest, name.clone(), Some(passed))
        } else {
            self.read_total(line);
            return;
        };
        self.runner = Some(runner);
        // A failure is repeated in summaries, without the test's announcement.
        if self.announced.last().is_none_or(|(_, last)| *last != name) && !self.passed.contains_key(&name) {
            self.announced.push((at, name.clone()));
        }
        if let Some(passed) = passed {
            let known = self.passed.entry(name).or_insert(true);
            *known &= passed;
        }
    }

    fn read_total(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse::<usize>().ok());
        let total = match words.as_slice() {
            ["running", _, "test" | "tests"] => number(1).map(|count| self.total.unwrap_or_default() + count),
            ["collected", _, "item" | "items", ..] | ["Ran", _, "test" | "tests", ..] => number(1),
            ["Summary", ..] => {
                let at = words.iter().position(|word| word.starts_with("test") && words.contains(&"run:"));
                at.and_then(|at| number(at - 1))
            }
            _ => None,
        };
        self.total = total.or(self.total);
    }
}

/// `test cart::adds ... ok`. Without the outcome it is only announced.
fn libtest(line: &str) -> Option<(String, Option<bool>)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ").or_else(|| {
        let name = line.strip_prefix("test ")?.strip_suffix(" ...")?;
        Some((name, ""))
    })?;
    let name = name.split(" - ").next()?.trim();
    if name.is_empty() || name.contains(' ') || rest.starts_with("ignored") {
        return None;
    }
    let passed = if rest.starts_with("ok") { Some(true) } else { rest.contains("FAILED").then_some(false) };
    Some((name.to_owned(), passed))
}

/// `PASS [   0.005s] (1/3) shop::cart adds`.
fn nextest(line: &str) -> Option<(String, bool)> {
    let (status, rest) = line.trim_start().split_once(" [")?;
    let status = status.trim();
    let passed = matches!(status, "PASS" | "LEAK");
    let failed = matches!(status, "FAIL" | "TIMEOUT" | "ABORT" | "LEAK-FAIL") || status.starts_with("SIG");
    if !passed && !failed {
        return None;
    }
    let (time, mut rest) = rest.split_once(']')?;
    if !time.trim().ends_with('s') {
        return None;
    }
    rest = rest.trim_start();
    if rest.starts_with('(') {
        rest = rest.split_once(')')?.1.trim_start();
    }
    let name = rest.trim();
    (name.split(' ').count() == 2).then(|| (name.to_owned(), passed))
}

/// `test_adds (suite.Cart.test_adds) ... ok`, and `FAIL: test_adds (suite.Cart.test_adds)`.
fn unittest(line: &str) -> Option<(String, Option<bool>)> {
    let (line, failed) = match line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: ")) {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (method, rest) = line.split_once(" (")?;
    let (path, rest) = rest.split_once(')')?;
    if method.contains(' ') || path.contains(' ') || !path.contains('.') {
        return None;
    }
    let name = if path.ends_with(&format!(".{method}")) { path.to_owned() } else { format!("{path}.{method}") };
    match rest.trim_start().strip_prefix("...") {
        _ if failed => Some((name, Some(false))),
        // The description follows.
        None if rest.trim().is_empty() => Some((name, None)),
        Some(outcome) if outcome.contains("skipped") => None,
        Some(outcome) if outcome.trim_end().ends_with("ok") => Some((name, Some(true))),
        Some(outcome) if outcome.contains("FAIL") || outcome.contains("ERROR") => Some((name, Some(false))),
        Some(_) => Some((name, None)),
        None => None,
    }
}

/// `Adds an article. ... ok`: the second line of a test that has a description.
fn described(line: &str) -> Option<bool> {
    match line.rsplit_once(" ... ")?.1.trim_end() {
        "ok" => Some(true),
        "FAIL" | "ERROR" => Some(false),
        _ => None,
    }
}

/// `tests/test_cart.py::test_adds PASSED [ 50%]`, `[gw0] [ 50%] PASSED tests/…`, and `FAILED tests/… - assert 1 == 2`.
fn pytest(line: &str) -> Option<(String, Option<bool>)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let passed = |word: &str| match word {
        "PASSED" | "XFAIL" => Some(true),
        "FAILED" | "ERROR" | "XPASS" => Some(false),
        _ => None,
    };
    let is_name = |word: &str| {
        word.split_once("::")
            .is_some_and(|(path, test)| Path::new(path).extension().is_some_and(|end| end == "py") && !test.is_empty())
    };
    let name = words.iter().position(|word| is_name(word))?;
    // Parameters can have spaces.
    let outcome = words.iter().find_map(|word| passed(word));
    let is_line_of_test = name == 0 || words[..name].iter().any(|word| passed(word).is_some());
    if !is_line_of_test || words.contains(&"SKIPPED") {
        return None;
    }
    let end = line.find(" PASSED").or_else(|| line.find(" - ")).or_else(|| {
        [" FAILED", " ERROR", " XFAIL", " XPASS"].iter().filter_map(|word| line.find(word)).find(|at| *at > 0)
    });
    let start = line.find(words[name])?;
    let text = line.get(start..end.filter(|end| *end > start).unwrap_or(line.len()))?.trim();
    Some((text.to_owned(), outcome))
}

fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // The last letter of a sequence is the first one after its numbers.
            for letter in letters.by_ref() {
                if letter.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(output: &str) -> Outcomes {
        let lines: Vec<_> = output.lines().map(|line| (Duration::ZERO, line.to_owned())).collect();
        Outcomes::of(&lines)
    }

    #[track_caller]
    fn assert_read(output: &str, runner: Runner, passed: &[&str], failed: &[&str], total: Option<usize>) {
        let outcomes = outcomes(output);
        let names_of = |is: bool| -> Vec<_> {
            outcomes.passed.iter().filter(|(_, passed)| **passed == is).map(|(name, _)| name.as_str()).collect()
        };
        assert_eq!(outcomes.runner, Some(runner));
        assert_eq!((names_of(true), names_of(false), outcomes.total), (passed.to_vec(), failed.to_vec(), total));
    }

    #[test]
    fn the_outputs_of_runners_are_read() {
        assert_read(
            "running 3 tests\ntest cart::adds ... ok\ntest pays - should panic ... \u{1b}[31mFAILED\u{1b}[0m\n\
             test skipped ... ignored\nrunning 1 test\ntest logs_in ... ok\n",
            Runner::Libtest,
            &["cart::adds", "logs_in"],
            &["pays"],
            Some(4),
        );
        assert_read(
            "    Starting 2 tests\n        PASS [   0.005s] (1/2) shop::cart adds\n     SIGSEGV [   0.010s] shop pays\n\
             ------------\n     Summary [   0.011s] 193 tests run: 192 passed, 1 failed, 2 skipped\n     SIGSEGV [   0.010s] shop pays\n",
            Runner::Nextest,
            &["shop::cart adds"],
            &["shop pays"],
            Some(193),
        );
        assert_read(
            "collected 3 items\ntests/test_a.py::test_b PASSED   [ 33%]\ntests/test_a.py::C::test_d[a b] FAILED [ 66%]\n\
             FAILED tests/test_a.py::C::test_d[a b] - assert 1 == 2\n[gw0] [ 99%] PASSED tests/test_a.py::test_e\n",
            Runner::Pytest,
            &["tests/test_a.py::test_b", "tests/test_a.py::test_e"],
            &["tests/test_a.py::C::test_d[a b]"],
            Some(3),
        );
        assert_read(
            "test_a (suite.Cart.test_a)\nAdds one. ... ok\ntest_b (suite.Cart) ... FAIL\nFAIL: test_b (suite.Cart)\nRan 2 tests in 0.1s\n",
            Runner::Unittest,
            &["suite.Cart.test_a"],
            &["suite.Cart.test_b"],
            Some(2),
        );
    }

    #[test]
    fn other_output_has_no_tests() {
        let outcomes = outcomes("Testing 1, 2, 3\nok\nfoo (bar) baz\nPASS\nwrote a.py::x of 3\n");
        assert_eq!((outcomes.runner, outcomes.passed.len(), outcomes.total), (None, 0, None));
    }
}
