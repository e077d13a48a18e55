//! Rules about the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::golden::{GOLDEN, runs};
use crate::pages::{files, pages, prose, read, root};

fn value<'a>(toml: &'a str, key: &str) -> &'a str {
    let line = toml.lines().find(|line| line.starts_with(&format!("{key} = "))).expect(key);
    line.split('"').nth(1).expect("a string")
}

#[test]
fn versions_agree_and_the_changelog_has_them() {
    let manifest = read("Cargo.toml");
    let version = value(&manifest, "version").to_owned();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let pin = format!("transient-fixtures-macros = {{ version = \"={version}\"");
    assert!(manifest.contains(&pin), "the macros are not pinned to {version}");
    let pin = format!("transient-fixtures = {{ version = \"={version}\"");
    assert!(read("cargo-transient/Cargo.toml").contains(&pin), "cargo-transient does not pin {version}");
    assert!(read("CHANGELOG.md").contains(&format!("## {version}")), "no entry for {version}");
    let rust = value(&manifest, "rust-version");
    assert!(read("README.md").contains(&format!("Rust {rust}")), "README does not state Rust {rust}");
}

/// The rows of the table of settings: key, variable, default.
fn table() -> Vec<[String; 3]> {
    let page = read("docs/settings.md");
    let rows = page
        .lines()
        .filter(|line| ["| `redis.", "| `celery.", "| `websauna."].iter().any(|start| line.starts_with(start)))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
            assert_eq!(cells.len(), 4, "{line}");
            [cells[0].clone(), cells[1].clone(), cells[2].clone()]
        });
    rows.collect()
}

/// The settings in the code: `known("key", Some("VARIABLE"), "default", …)`.
fn known() -> Vec<[String; 3]> {
    let source = read("src/settings/known.rs").replace("\n    ", " ");
    let calls = source.split("known(").skip(1).filter(|call| call.trim_start().starts_with('"'));
    calls
        .map(|call| {
            let strings: Vec<_> = call.split('"').skip(1).step_by(2).collect();
            if call.split_once(',').expect("arguments").1.trim_start().starts_with("Some") {
                [strings[0].to_owned(), strings[1].to_owned(), strings[2].to_owned()]
            } else {
                [strings[0].to_owned(), String::new(), strings[1].to_owned()]
            }
        })
        .collect()
}

#[test]
fn every_setting_is_documented_with_its_default() {
    let documented: BTreeSet<_> = table().into_iter().collect();
    let known: BTreeSet<_> = known().into_iter().collect();
    assert_eq!(known.len(), 33, "{known:?}");
    assert_eq!(documented, known);
}

#[test]
fn every_environment_variable_is_documented() {
    let page = read("docs/settings.md");
    let mut variables = BTreeSet::new();
    for path in files("src", &["rs", "sh"]) {
        let text = fs::read_to_string(path).expect("read");
        for piece in text.split("TRANSIENT_").skip(1) {
            let name: String =
                piece.chars().take_while(|letter| letter.is_ascii_uppercase() || *letter == '_').collect();
            if !name.is_empty() {
                variables.insert(format!("TRANSIENT_{name}"));
            }
        }
    }
    assert!(variables.len() > 5, "{variables:?}");
    for variable in variables {
        assert!(page.contains(&variable), "docs/settings.md does not mention {variable}");
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for path in CODE.into_iter().flat_map(|below| files(below, &["rs", "sh"])) {
        let lines = fs::read_to_string(&path).expect("read").lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}

/// The directories with our code.
const CODE: [&str; 8] = ["src", "macros", "cargo-transient", "tests", "examples", "benches", "interop", ".ci"];

/// Each package contains its licences.
#[test]
fn all_packages_have_the_licences() {
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(read(file).contains("Permission") || read(file).contains("permission"), "{file}");
        for package in ["macros", "cargo-transient"] {
            assert_eq!(read(file), read(Path::new(package).join(file)), "{package}/{file}");
        }
    }
}

#[test]
fn the_main_path_fits_on_one_screen() {
    let text = read("src/lease/acquire.rs");
    let path = text.split("pub(crate) fn acquire(").nth(1).expect("acquire").split("\n}\n").next().expect("its end");
    assert!(path.lines().count() <= 40, "src/lease/acquire.rs has grown");
}

/// The modules from top to bottom. Each imports only modules below it. Modules in one row can import each other.
const HOUSE: [&[&str]; 15] = [
    &["lib", "guide"],
    &["races"],
    &["faults"],
    &["rstest", "macro_support", "connections", "command_server", "backup", "kept"],
    &["failure_report", "lint"],
    &["request"],
    &["seed"],
    &["snapshot"],
    &["time", "sessions", "jobs", "tap"],
    &["lease"],
    &["provider"],
    &["redis_io", "affinity", "cache", "random"],
    &["hex", "sync"],
    &["settings"],
    &["error", "report"],
];

/// In the order of CONTRIBUTING.md.
#[test]
fn the_order_of_the_modules_is_documented() {
    let page = read("CONTRIBUTING.md");
    let order = page.split("checks:\n\n").nth(1).expect("the order").split("\n\n").next().expect("its end");
    let rows = order.split('→').map(|row| row.split(',').map(|name| name.trim().to_owned()).collect());
    let documented: Vec<Vec<_>> = rows.collect();
    assert_eq!(documented, HOUSE[1..]);
}

/// `use crate::…` and `crate::…` in the code of a module's files.
fn imports(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).expect("read");
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let names = |piece: &str| -> String { piece.chars().take_while(|l| l.is_alphanumeric() || *l == '_').collect() };
    let mut found: BTreeSet<_> = code.split("crate::").skip(1).map(names).collect();
    for group in code.split("use crate::{").skip(1) {
        let group = group.split(';').next().unwrap_or_default();
        let mut depth = 0;
        for piece in group.split_inclusive([',', '{', '}']) {
            if depth == 0 {
                found.insert(names(piece.trim_start()));
            }
            depth += piece.matches('{').count();
            depth = depth.saturating_sub(piece.matches('}').count());
        }
    }
    found.retain(|name| HOUSE.iter().flat_map(|row| row.iter()).any(|module| module == name));
    found
}

#[test]
fn imports_point_down() {
    let row = |module: &str| HOUSE.iter().position(|row| row.contains(&module));
    let mut modules = BTreeSet::new();
    for path in files("src", &["rs"]) {
        let place = path.strip_prefix(root().join("src")).expect("in src");
        let module = place.components().next().expect("a name").as_os_str().to_str().expect("UTF-8");
        let module = module.trim_end_matches(".rs").to_owned();
        let from = row(&module).unwrap_or_else(|| panic!("HOUSE does not name {module}"));
        for import in imports(&path) {
            let to = row(&import).expect("a module");
            assert!(
                to > from || import == module,
                "{} imports {import}, which is above it or beside it",
                place.display()
            );
        }
        modules.insert(module);
    }
    for module in HOUSE.iter().flat_map(|row| row.iter()) {
        assert!(modules.contains(*module), "HOUSE names {module}, a missing module");
    }
}

/// Reports import only the standard library, so that no report depends on its subject.
#[test]
fn reports_import_only_std() {
    for path in files("src/report", &["rs"]) {
        let text = fs::read_to_string(&path).expect("read");
        for line in text.lines().filter(|line| line.starts_with("use ")) {
            assert!(line.starts_with("use std::") || line.starts_with("use super::"), "{}: {line}", path.display());
        }
    }
}

/// The constants and functions of a report file, except those that a build with all features leaves out.
fn sentences(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).expect("read");
    let mut found = BTreeSet::new();
    let (mut module, mut is_built, mut before) = (String::new(), true, "");
    for line in text.lines() {
        if line == "}" {
            (module, is_built) = (String::new(), true);
        }
        let item_is_built = is_built && !before.trim_start().starts_with("#[cfg(not(");
        before = line;
        let Some(item) = line.trim_start().strip_prefix("pub(crate) ") else { continue };
        let mut words = item.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        match (words.next(), words.next()) {
            (Some("mod"), Some(name)) if item.ends_with('{') => {
                (module, is_built) = (format!("{name}::"), item_is_built);
            }
            // They print their arguments.
            (Some("fn"), Some("print" | "shout")) => {}
            (Some("fn" | "const"), Some(name)) if item_is_built => {
                found.insert(format!("{module}{name}"));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_sentence_is_golden() {
    let entries = fs::read_dir(root().join("src/report")).expect("read").flatten().map(|entry| entry.path());
    let sources = entries.filter(|path| path.extension().is_some() && !path.ends_with("golden.rs"));
    let mut count = 0;
    for path in sources {
        let file = match path.file_stem().and_then(|stem| stem.to_str()).expect("a name") {
            "mod" => "report",
            file => file,
        };
        let golden = read(format!("src/report/golden/{file}.txt"));
        let headings = golden.lines().filter_map(|line| line.strip_prefix("## "));
        let golden: BTreeSet<_> =
            headings.filter_map(|heading| heading.split(", ").next()).map(str::to_owned).collect();
        let sentences = sentences(&path);
        assert_eq!(golden, sentences, "src/report/golden/{file}.rs does not render what {} has", path.display());
        count += sentences.len();
    }
    assert!(count > 200, "{count}");
}

/// Every command that we send checks the lease, because only leases and providers open connections.
#[test]
fn only_leases_and_providers_open_connections() {
    for path in files("src", &["rs"]) {
        let place = path.strip_prefix(root().join("src")).expect("in src").to_str().expect("UTF-8").to_owned();
        if place.starts_with("lease/") || place.starts_with("provider/") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("read");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let mut opens = vec!["get_connection", "get_multiplexed", "Client::open", ".client()", "jobs_client()"];
        // A tap connects for the client, which has the lease's URL. Its tests connect to a proxy or to themselves.
        // `kept.rs` asks whether a process listens, and sends nothing.
        let connect = ["tap/stream.rs", "tap/proxy/tests.rs", "tap/spare/tests.rs", "kept.rs"];
        if !connect.contains(&place.as_str()) {
            opens.extend(["TcpStream::connect", "UnixStream::connect"]);
        }
        for opens in opens {
            assert!(
                !code.clone().any(|line| line.contains(opens)),
                "{place} opens a connection past the lease: {opens}"
            );
        }
    }
}

/// Another user may have left a link in the cache. Only `cache` opens files there, since it follows none.
#[test]
fn only_the_cache_writes_files() {
    // They write to directories that did not exist before.
    let own_directory = ["provider/clock.rs", "provider/pip.rs", "provider/supervisor.rs"];
    let mut seen = BTreeSet::new();
    let kept = root().join("src/kept.rs");
    let rooms = ["src/lease", "src/provider"].into_iter().flat_map(|below| files(below, &["rs"]));
    for path in rooms.chain([kept]) {
        let place = path.strip_prefix(root().join("src")).expect("in src").to_str().expect("UTF-8").to_owned();
        let text = fs::read_to_string(&path).expect("read").replace("cache::open(path, File::options()", "");
        if ["File::create", "File::options", "OpenOptions", "fs::write("].iter().any(|opens| text.contains(opens)) {
            seen.insert(place);
        }
    }
    assert_eq!(seen, own_directory.map(str::to_owned).into());
}

/// The image in the documentation is the one that is pinned.
#[test]
fn the_image_is_documented() {
    let image = known().into_iter().find(|[key, ..]| key == "redis.image").expect("redis.image");
    assert!(read("docs/providers.md").contains(&format!("docker pull {}", image[2])), "{image:?}");
}

/// rustfmt formats only code.
#[test]
fn comments_and_pages_have_at_most_120_columns() {
    let is_wide = |line: &str| line.chars().count() > 120 && line.trim_start_matches(['/', '!', ' ']).contains(' ');
    let mut wide = BTreeSet::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("read");
        for (number, line) in prose(&text).into_iter().filter(|(_, line)| !line.starts_with('|')) {
            if is_wide(line) {
                wide.insert(format!("{}:{number}", page.display()));
            }
        }
    }
    for path in CODE.into_iter().flat_map(|below| files(below, &["rs"])) {
        let text = fs::read_to_string(&path).expect("read");
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//")) {
            // A table of rustdoc can't be wrapped.
            if is_wide(line) && !line.contains("/ |") && !line.contains("! |") {
                wide.insert(format!("{}:{}", path.display(), index + 1));
            }
        }
    }
    assert!(wide.is_empty(), "{} lines are wider than 120 columns: {wide:#?}", wide.len());
}

/// docs.rs shows an example only if the manifest lists it.
#[test]
fn docs_rs_shows_every_example() {
    let manifest = read("Cargo.toml");
    let entries = fs::read_dir(root().join("examples")).expect("read").flatten().map(|entry| entry.path());
    let examples: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let name = example.file_stem().expect("a name").display();
        let section =
            manifest.split("[[example]]\n").find(|section| section.starts_with(&format!("name = \"{name}\"")));
        let section = section.unwrap_or_else(|| panic!("Cargo.toml does not name the example {name}"));
        let own = section.split("\n\n").next().unwrap_or_default();
        assert!(own.contains("doc-scrape-examples = true"), "docs.rs does not show the example {name}");
    }
}

#[test]
fn all_packages_state_their_repository() {
    let packages = ["Cargo.toml", "macros/Cargo.toml", "cargo-transient/Cargo.toml"].map(read);
    for manifest in &packages {
        for key in ["repository.workspace", "documentation.workspace", "license.workspace", "rust-version.workspace"] {
            assert!(manifest.contains(&format!("\n{key} = true\n")), "{key}");
        }
        for key in ["description", "keywords", "categories"] {
            assert!(manifest.contains(&format!("\n{key} = ")), "{key}");
        }
    }
    // The address appears once, and links elsewhere agree with it.
    let repository = value(&packages[0], "repository");
    let owner = repository.rsplit_once('/').expect("an owner").0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("read");
        for link in text.split("https://").skip(1).map(|rest| format!("https://{rest}")) {
            if link.contains("/transient-fixtures") && link.starts_with("https://github.com/") {
                assert!(link.starts_with(owner), "{} has another repository", page.display());
            }
        }
    }
}

/// The string literals of a source file.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'', 'r']) {
        rest = &rest[at..];
        let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if rest.starts_with('r') && rest[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let (text, after) = rest[2 + hashes..].split_once(&end).expect("its end");
            found.push(text.to_owned());
            rest = after;
        } else if rest.starts_with("'\\") {
            rest = rest[3..].split_once('\'').expect("its end").1;
        } else if rest.starts_with("'\"'") {
            rest = &rest[3..];
        } else if let Some(text) = rest.strip_prefix('"') {
            let end = text.match_indices('"').map(|(end, _)| end);
            let is_escaped = |end: usize| text[..end].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
            let end = end.into_iter().find(|end| !is_escaped(*end)).expect("its end");
            // A literal can continue on the next line.
            let pieces: Vec<_> = text[..end].split("\\\n").enumerate().collect();
            let pieces = pieces.iter().map(|(number, piece)| if *number > 0 { piece.trim_start() } else { piece });
            found.push(pieces.collect());
            rest = &text[end + 1..];
        } else {
            rest = &rest[1..];
        }
    }
    found
}

/// All runs of three words in a text, in lower case.
fn threes(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for run in text.split(['\n', '"']).flat_map(runs) {
        let words: Vec<_> = run.split(' ').map(|word| word.trim_matches([',', '.', ':', ';']).to_lowercase()).collect();
        found.extend(words.windows(3).map(|three| three.join(" ")));
    }
    found
}

/// Rewording a report must not change a test. Tests recognise reports by facts, by the kind of the error, or by their
/// golden entries.
#[test]
fn no_test_quotes_a_report() {
    assert_eq!(literals("a(\"b \\\" \\\n  c\", r#\"d\"#, 'e', '\"') // \"f\""), ["b \\\" c", "d"]);
    let mut golden = BTreeSet::new();
    for (_, text) in GOLDEN {
        golden.extend(text.lines().filter(|line| !line.starts_with("## ")).flat_map(threes));
    }
    assert!(golden.len() > 500, "{golden:?}");
    let mut found = Vec::new();
    for path in ["tests/it", "tests/engine", "tests/clock", "cargo-transient/tests"]
        .into_iter()
        .flat_map(|below| files(below, &["rs"]))
    {
        for literal in literals(&fs::read_to_string(&path).expect("read")) {
            let quoted: Vec<_> = threes(&literal).intersection(&golden).cloned().collect();
            if !quoted.is_empty() {
                found.push(format!("{}: {quoted:?} in {literal:?}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "these tests quote reports:\n{}", found.join("\n"));
}
