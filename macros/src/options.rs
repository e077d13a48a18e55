//! The options of `#[clean_redis(...)]`.

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, LitStr, Path, Result, Token, parenthesized, parse_quote};

/// The valid options, in an error.
const LEGAL: &str = "`fixtures(\"name\", …)`, `lint = \"…\"` or `crate = \"path\"`";

/// The valid lints, in an error.
const LINTS: &str = "expected `\"none\"`, `\"ttl\"`, `\"empty\"` or a bound such as `\"ttl <= 7d\"` \
    (<, <=, > or >=, and ms, s, m, h, d or w)";

/// Units of time, in milliseconds.
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

pub(crate) struct Options {
    /// The path of the library. `::transient_fixtures` by default.
    pub(crate) library: Path,
    /// The names of the data fixtures to load.
    pub(crate) fixtures: Vec<LitStr>,
    /// The lint. `None` for that of the settings.
    pub(crate) lint: Option<LitStr>,
    /// All arguments as written, for the attribute in its new place.
    pub(crate) arguments: TokenStream,
}

impl Options {
    pub(crate) fn parse(arguments: TokenStream) -> Result<Self> {
        let (mut library, mut fixtures, mut lint) = (None, None, None);
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("crate") {
                let path = meta.value()?.parse::<LitStr>()?.parse_with(Path::parse_mod_style)?;
                once(&meta, &mut library, path)
            } else if meta.path.is_ident("fixtures") {
                let names;
                parenthesized!(names in meta.input);
                let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&names)?;
                if names.is_empty() {
                    return Err(meta.error("option `fixtures` without names"));
                }
                once(&meta, &mut fixtures, names.into_iter().collect())
            } else if meta.path.is_ident("lint") {
                let value: LitStr = meta.value()?.parse()?;
                if !is_lint(&value.value()) {
                    return Err(Error::new(value.span(), format!("invalid value for the option `lint`: {LINTS}")));
                }
                once(&meta, &mut lint, value)
            } else {
                Err(meta.error(format!("unknown option: expected {LEGAL}")))
            }
        });
        Parser::parse2(parser, arguments.clone()).map_err(|error| {
            // A literal or a stray token: syn's error does not name the options.
            if error.to_string().contains("option") {
                error
            } else {
                Error::new(error.span(), format!("{error} (the options are {LEGAL})"))
            }
        })?;
        let library = library.unwrap_or_else(|| parse_quote!(::transient_fixtures));
        Ok(Self { library, fixtures: fixtures.unwrap_or_default(), lint, arguments })
    }
}

fn once<T>(meta: &syn::meta::ParseNestedMeta<'_>, option: &mut Option<T>, value: T) -> Result<()> {
    match option.replace(value) {
        Some(_) => Err(meta.error("duplicate option")),
        None => Ok(()),
    }
}

/// Must accept the same grammar as the library (`src/settings/lint.rs`).
fn is_lint(text: &str) -> bool {
    let text = text.trim();
    let bound = || {
        let rest = text.strip_prefix("ttl")?.trim_start().strip_prefix(['<', '>'])?;
        let limit = rest.strip_prefix('=').unwrap_or(rest).trim();
        let (number, unit) = limit.split_at(limit.find(|letter: char| !letter.is_ascii_digit())?);
        let (_, milliseconds) = UNITS.into_iter().find(|(name, _)| *name == unit.trim_start())?;
        number.parse::<u64>().ok()?.checked_mul(milliseconds)
    };
    ["ttl", "empty", "none"].contains(&text) || bound().is_some()
}
