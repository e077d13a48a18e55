//! The command for some of its tests.

use std::ffi::OsString;
use std::path::Path;

use super::outcomes::Runner;

/// Options of pytest that have a value as the next word.
const PYTEST_VALUES: [&str; 6] = ["-c", "-k", "-m", "-o", "-p", "-W"];

/// The command that runs these tests only. `None` if it is not known how to ask for them.
pub(super) fn command(command: &[OsString], runner: Option<Runner>, tests: &[&str]) -> Option<Vec<OsString>> {
    let words: Option<Vec<&str>> = command.iter().map(|word| word.to_str()).collect();
    let words = words?;
    let selected = match runner? {
        Runner::Nextest => nextest(&words, tests),
        Runner::Libtest => libtest(&words, tests),
        Runner::Pytest => pytest(&words, tests),
        Runner::Unittest => unittest(&words, tests),
    }?;
    Some(selected.into_iter().map(OsString::from).collect())
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `cargo nextest run -E 'binary_id(=shop::cart) & test(=adds)'`.
fn nextest(words: &[&str], tests: &[&str]) -> Option<Vec<String>> {
    let run =
        words.iter().position(|word| ["run", "r"].contains(word)).filter(|at| words[..*at].contains(&"nextest"))?;
    let is_filter = |word: &&str| ["-E", "--filter-expr", "--filterset", "--"].contains(word) || word.starts_with("-E");
    if words.iter().any(is_filter) {
        return None;
    }
    let one = |test: &&str| {
        let (binary, name) = test.split_once(' ')?;
        Some(format!("(binary_id(={binary}) & test(={name}))"))
    };
    let tests: Option<Vec<_>> = tests.iter().map(one).collect();
    let mut selected = owned(words);
    selected.insert(run + 1, tests?.join(" | "));
    selected.insert(run + 1, "-E".to_owned());
    Some(selected)
}

/// `cargo test -- --exact adds`.
fn libtest(words: &[&str], tests: &[&str]) -> Option<Vec<String>> {
    // A script could run anything.
    let is_cargo = words.first().is_some_and(|word| word.rsplit('/').next() == Some("cargo"));
    let is_test = words.iter().any(|word| ["test", "t"].contains(word));
    if !(is_cargo && is_test) {
        return None;
    }
    let mut selected = owned(words);
    if !words.contains(&"--") {
        selected.push("--".to_owned());
    }
    selected.push("--exact".to_owned());
    selected.extend(owned(tests));
    Some(selected)
}

/// `pytest -v tests/test_cart.py::test_adds`, without the files and directories that were there.
fn pytest(words: &[&str], tests: &[&str]) -> Option<Vec<String>> {
    let is_pytest = |word: &str| ["pytest", "py.test"].contains(&word.rsplit('/').next().unwrap_or(word));
    let from = words.iter().position(|word| is_pytest(word))? + 1;
    let mut selected = owned(&words[..from]);
    for (index, word) in words.iter().enumerate().skip(from) {
        let is_value = PYTEST_VALUES.contains(&words[index - 1]);
        let is_path = !word.starts_with('-') && Path::new(word.split("::").next().unwrap_or(word)).exists();
        if !is_value && is_path {
            if words[index - 1].starts_with("--") && !words[index - 1].contains('=') {
                // It could be the value of the option.
                return None;
            }
            continue;
        }
        selected.push((*word).to_owned());
    }
    selected.extend(owned(tests));
    Some(selected)
}

/// `python3 -m unittest -v suite.Cart.test_adds`, or `python3 suite.py -v Cart.test_adds`.
fn unittest(words: &[&str], tests: &[&str]) -> Option<Vec<String>> {
    let is_option = |word: &&&str| word.starts_with('-');
    if let Some(at) = words.windows(2).position(|pair| pair == ["-m", "unittest"]) {
        if words.contains(&"discover") {
            return None;
        }
        let options: Vec<_> = words[at + 2..].iter().filter(is_option).copied().collect();
        return Some([owned(&words[..at + 2]), owned(&options), owned(tests)].concat());
    }
    let script = words.iter().position(|word| Path::new(word).extension().is_some_and(|end| end == "py"))?;
    let options: Vec<_> = words[script + 1..].iter().filter(is_option).copied().collect();
    let tests: Option<Vec<_>> = tests.iter().map(|test| test.strip_prefix("__main__.")).collect();
    Some([owned(&words[..=script]), owned(&options), owned(&tests?)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(line: &str, runner: Runner, tests: &[&str]) -> Option<String> {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        let command = command(&words, Some(runner), tests)?;
        Some(command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn runners_run_some_tests() {
        for (line, runner, tests, expected) in [
            (
                "cargo nextest run --workspace",
                Runner::Nextest,
                &["shop::cart adds", "shop pays"][..],
                "cargo nextest run -E (binary_id(=shop::cart) & test(=adds)) | (binary_id(=shop) & test(=pays)) --workspace",
            ),
            ("cargo test --test it", Runner::Libtest, &["a", "b::c"], "cargo test --test it -- --exact a b::c"),
            ("cargo test -- --test-threads=1", Runner::Libtest, &["a"], "cargo test -- --test-threads=1 --exact a"),
            ("pytest -v src", Runner::Pytest, &["t.py::a"], "pytest -v t.py::a"),
            ("python3 -m pytest -k src -v", Runner::Pytest, &["t.py::a"], "python3 -m pytest -k src -v t.py::a"),
            ("python3 -m unittest -v old", Runner::Unittest, &["s.C.a"], "python3 -m unittest -v s.C.a"),
            ("python3 suite.py -v", Runner::Unittest, &["__main__.C.a"], "python3 suite.py -v C.a"),
        ] {
            assert_eq!(selected(line, runner, tests).as_deref(), Some(expected), "{line}");
        }
        for (line, runner) in [
            ("cargo nextest run -E all()", Runner::Nextest),
            ("./test.sh", Runner::Libtest),
            ("pytest --rootdir src", Runner::Pytest),
            ("python3 -m unittest discover", Runner::Unittest),
            ("make test", Runner::Pytest),
        ] {
            assert_eq!(selected(line, runner, &["a b"]), None, "{line}");
        }
    }
}
