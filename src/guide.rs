//! The pages of `docs/`, from the first test to the unsupported features.
#![expect(clippy::doc_markdown, reason = "the pages name products, and are read on other sites as well")]
//!
//! - [`leases`], [`providers`], [`settings`], [`data_safety`]: a test and its server
//! - [`sessions`], [`jobs`], [`time`], [`snapshots`], [`lints`], [`taps`], [`sweeps`], [`races`]: the features
//! - [`without_changing_your_tests`], [`record`], [`mutate`]: `cargo transient`, for suites in any language
//! - [`cookbook`], [`porting`], [`ci`], [`troubleshooting`]: recipes
//! - [`versions`], [`costs`], [`comparison`], [`stability`], [`not_supported`]: facts

/// Where a page's links lead in rustdoc. In the repository they lead to files, by definitions at the end of the page;
/// the first definition of a name counts.
macro_rules! links {
    () => {
        concat!(
            "[data-safety]: mod@crate::guide::data_safety\n",
            "[evidence]: mod@crate::guide::leases#keeping-the-evidence\n",
            "[files]: mod@crate::guide::stability#files-on-your-machine\n",
            "[lints]: mod@crate::guide::lints\n",
            "[not-supported]: mod@crate::guide::not_supported\n",
            "[providers]: mod@crate::guide::providers\n",
            "[races]: mod@crate::guide::races\n",
            "[mutate]: mod@crate::guide::mutate\n",
            "[record]: mod@crate::guide::record\n",
            "[settings]: mod@crate::guide::settings\n",
            "[sweeps]: mod@crate::guide::sweeps\n",
            "[taps]: mod@crate::guide::taps\n",
            "[static-client]: mod@crate::guide::porting#from-a-static-client\n",
            "[unchanged]: mod@crate::guide::without_changing_your_tests\n",
            "[time]: mod@crate::guide::time\n",
            "[versions]: mod@crate::guide::versions\n",
            repository_links!("benches", "changelog" "CHANGELOG.md", "crosstalk" "tests/crosstalk/run",
                "example-porting" "examples/porting", "example-shop" "examples/shop",
                "example-snapshots" "examples/snapshots", "interop", "test.ini", "torture" "tests/torture.py"),
        )
    };
}

macro_rules! repository_links {
    ($($name:literal $($path:literal)?),*) => {
        concat!($("[", $name, "]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/HEAD/", repository_links!(@path $name $($path)?), "\n",)*)
    };
    (@path $name:literal) => { $name };
    (@path $name:literal $path:literal) => { $path };
}

macro_rules! pages {
    ($($module:ident: $file:literal, $summary:literal;)*) => {$(
        #[doc = concat!($summary, "\n\n", links!(), "\n")]
        #[doc = include_str!(concat!("../docs/", $file, ".md"))]
        pub mod $module {}
    )*};
}

pages! {
    ci: "ci", "Recipes for GitHub Actions, GitLab, nextest and offline machines.";
    comparison: "comparison", "Other tools, and when to choose them.";
    cookbook: "cookbook", "Twelve questions, each answered by a test.";
    costs: "costs", "Measured figures.";
    data_safety: "data-safety", "Data that is never cleared.";
    jobs: "jobs", "Queued jobs.";
    leases: "leases", "How long a test has its server.";
    lints: "lints", "Keys that a test should not leave.";
    mutate: "mutate", "`cargo transient mutate`: promises that no test checks.";
    not_supported: "not-supported", "What this crate does not do.";
    porting: "porting", "From other tools, before and after.";
    providers: "providers", "Where Redis comes from, and on which platforms.";
    races: "races", "Several clients in every order of their commands.";
    record: "record", "`cargo transient record`: what a suite sends.";
    sessions: "sessions", "Visitors and their sessions.";
    settings: "settings", "`test.ini` and environment variables.";
    snapshots: "snapshots", "Contents of the databases, compared, saved and loaded.";
    stability: "stability", "What can change before 1.0.";
    sweeps: "sweeps", "A fault at every command.";
    taps: "taps", "A proxy that records commands and injects faults.";
    time: "time", "Time travel.";
    troubleshooting: "troubleshooting", "Errors by message.";
    versions: "versions", "What works on which version of the server.";
    without_changing_your_tests: "without-changing-your-tests", "`cargo transient`: a server for any command.";
}
