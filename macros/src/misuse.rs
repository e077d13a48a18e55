//! Rejects items that `#[clean_redis]` cannot be applied to, with an error at the wrong token.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{Error, FnArg, Item, ItemFn, Result};

use crate::{order, serial};

/// Parses the test function. Rejects other items, and a second `#[clean_redis]`.
pub(crate) fn test_function(item: TokenStream) -> Result<ItemFn> {
    let function = match syn::parse2(item)? {
        Item::Fn(function) => function,
        other => {
            let message = "`#[clean_redis]` can only be applied to a test function";
            let first = other.to_token_stream().into_iter().next();
            return Err(Error::new(first.map_or_else(Span::call_site, |token| token.span()), message));
        }
    };
    if let Some(again) = function.attrs.iter().find(|attribute| order::is_clean_redis(attribute)) {
        return Err(Error::new_spanned(again, "duplicate `#[clean_redis]`"));
    }
    Ok(function)
}

/// Rejects arguments. Call it only if no other macro is left that could provide them.
pub(crate) fn no_arguments(function: &ItemFn) -> Result<()> {
    match function.sig.inputs.first() {
        None => Ok(()),
        Some(FnArg::Receiver(receiver)) => Err(Error::new_spanned(
            receiver,
            "`#[clean_redis]` can't be applied to a method: move the test out of the `impl`",
        )),
        Some(argument) => Err(Error::new_spanned(
            argument,
            "nothing provides this argument: add `#[rstest]` above `#[clean_redis]`, or call `TestRequest::new()` in the body",
        )),
    }
}

/// Rejects a lock of `serial_test` that would be taken after the databases.
pub(crate) fn no_lock_within(function: &ItemFn) -> Result<()> {
    match serial::lock_within(function.block.to_token_stream()) {
        None => Ok(()),
        Some(lock) => Err(Error::new(
            lock.span(),
            "`serial_test` would lock after `#[clean_redis]` has taken the databases, so two tests could deadlock: move \
             this attribute below `#[rstest]`",
        )),
    }
}
