//! Mends the order of locks where `serial_test` expanded first.
//!
//! `#[serial] #[clean_redis]` leaves us with a function whose body takes `serial_test`'s lock and runs the author's body
//! inside. Wrapping that whole would take the lease first and the lock second, and two tests that take two locks in
//! two orders deadlock. So the clean run is put inside the call that holds the lock.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::quote;
use syn::{Expr, ItemFn, Stmt, parse_quote};

/// Puts `run` (`async_run` in async tests), given the author's body, inside of `serial_test`'s lock.
/// False, and nothing changed, where `serial_test` has not expanded before us.
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

/// Whether `serial_test`'s lock is taken somewhere inside: it expanded before a macro that then expanded before us.
pub(crate) fn lock_within(tokens: TokenStream) -> Option<Ident> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) if is_lock(&ident.to_string()) => Some(ident),
        TokenTree::Group(group) => lock_within(group.stream()),
        _ => None,
    })
}

/// The functions that `serial_test` 2 to 4 expand to: `local_serial_core`, `fs_async_parallel_core_with_return`, ….
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
