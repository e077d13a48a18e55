//! Keeps the order of locks if `serial_test` has expanded first.
//!
//! After `#[serial] #[clean_redis]`, the function's body takes the lock of `serial_test` and runs the author's body
//! inside it. Wrapping all of it would acquire the databases first and the lock second; another test can do it in the
//! other order, and the two deadlock. So the call of the library goes inside the call that holds the lock.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::quote;
use syn::{Expr, ItemFn, Stmt, parse_quote};

/// Replaces the body inside the lock of `serial_test` by `run` of that body, or `async_run` in an `async` test. Returns
/// false and changes nothing if `serial_test` has not expanded yet.
pub(crate) fn put_inside_lock(
    function: &mut ItemFn,
    run: impl Fn(TokenStream) -> TokenStream,
    async_run: impl Fn(TokenStream) -> TokenStream,
) -> bool {
    let Some(Stmt::Expr(call, _)) = function.block.stmts.last_mut() else {
        return false;
    };
    let call = match call {
        Expr::Await(awaited) => awaited.base.as_mut(),
        other => other,
    };
    let Expr::Call(call) = call else { return false };
    let Expr::Path(path) = call.func.as_ref() else {
        return false;
    };
    if !path.path.segments.last().is_some_and(|segment| is_lock(&segment.ident.to_string())) {
        return false;
    }
    match call.args.last_mut() {
        Some(Expr::Closure(closure)) => {
            let body = &closure.body;
            let wrapped = run(quote!(move || #body));
            closure.body = parse_quote!({ #wrapped });
            true
        }
        Some(future) => {
            let wrapped = async_run(quote!(#future));
            *future = parse_quote!(#wrapped);
            true
        }
        None => false,
    }
}

/// Finds a lock of `serial_test` deeper inside: `serial_test` has expanded first, and then another test macro.
pub(crate) fn lock_within(tokens: TokenStream) -> Option<Ident> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) if is_lock(&ident.to_string()) => Some(ident),
        TokenTree::Group(group) => lock_within(group.stream()),
        _ => None,
    })
}

/// Whether this is a function that `serial_test` 2 to 4 expand to: `local_serial_core`,
/// `fs_async_parallel_core_with_return`, ….
fn is_lock(function: &str) -> bool {
    let kind = function.strip_suffix("_with_return").unwrap_or(function);
    matches!(
        kind,
        "local_serial_core"
            | "local_parallel_core"
            | "local_async_serial_core"
            | "local_async_parallel_core"
            | "fs_serial_core"
            | "fs_parallel_core"
            | "fs_async_serial_core"
            | "fs_async_parallel_core"
    )
}
