//! The attribute `#[clean_redis]` of the crate `transient-fixtures`, which re-exports and documents it.
//!
//! Parse (`options`), validate (`misuse`), expand (`expand`) and, on an error, fall back to the author's
//! function as it was, so that only the mistake itself is reported. All policy lives in the library:
//! an expansion is the author's function, one small value and one call.

mod expand;
mod misuse;
mod options;
mod order;
mod serial;

use proc_macro::TokenStream;
use quote::quote;

/// Gives the test databases to this test alone, cleared before any fixture runs.
///
/// Documented in full in `transient_fixtures::clean_redis`.
#[proc_macro_attribute]
pub fn clean_redis(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    expand::clean_redis(arguments.into(), item.clone())
        .unwrap_or_else(|error| {
            let error = error.into_compile_error();
            quote!(#error #item)
        })
        .into()
}
