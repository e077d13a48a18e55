//! The attribute `#[clean_redis]` of the crate
//! [`transient-fixtures`](https://docs.rs/transient-fixtures), which re-exports and documents it.
//!
//! The attribute parses its options (`options`), validates the function (`misuse`) and expands it (`expand`). On an
//! error it keeps the author's function unchanged, so that the compiler reports only the mistake itself. All policy is
//! in the library: an expansion is the author's function, one small value and one call.

mod expand;
mod misuse;
mod options;
mod order;
mod serial;

use proc_macro::TokenStream;
use quote::quote;

#[allow(missing_docs, reason = "rustdoc would append the text to that of the re-export, which is complete")]
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
