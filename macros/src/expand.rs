//! Expands the author's function into the one that the test harness calls.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Expr, ExprLit, ItemFn, Lit, Meta, MetaNameValue, Path, Result, parse_quote};

use crate::options::Options;
use crate::{misuse, order, serial};

pub(crate) fn clean_redis(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(arguments)?;
    let function = misuse::test_function(item)?;
    if let Some(expanded) = inside_lock(&function, &options) {
        return Ok(expanded);
    }
    if order::test_macro_below(&function) {
        return Ok(move_below(function, &options));
    }
    misuse::no_arguments(&function)?;
    misuse::no_lock_within(&function)?;
    Ok(wrap(function, &options))
}

/// Moves `#[clean_redis]` below the other test macros. It is called again after they have expanded.
fn move_below(mut function: ItemFn, options: &Options) -> TokenStream {
    let (library, arguments) = (&options.library, &options.arguments);
    let this = parse_quote!(#[#library::clean_redis(#arguments)]);
    function.attrs = order::below_test_macros(&function, this);
    quote!(#function)
}

/// Moves the author's body into a nested function and adds the call that runs it. It is not a closure, because that
/// could not return `impl Trait`.
fn wrap(function: ItemFn, options: &Options) -> TokenStream {
    let call = Call::new(&function, options);
    let ItemFn { attrs, vis, sig, block } = function;
    let mut body = sig.clone();
    body.ident = quote::format_ident!("body_of_{}", sig.ident);
    let name = &body.ident;
    let run = if sig.asyncness.is_some() {
        let future = call.future(&quote!(#name()));
        quote!(#future.await)
    } else {
        call.function(&quote!(#name))
    };
    quote! {
        #(#attrs)*
        #vis #sig {
            #body #block
            #run
        }
    }
}

/// Runs the test inside the lock of `serial_test`; `None` if the body does not take it.
fn inside_lock(function: &ItemFn, options: &Options) -> Option<TokenStream> {
    let call = Call::new(function, options);
    let mut locked = function.clone();
    serial::put_inside_lock(&mut locked, |body| call.function(&body), |future| call.future(&future))
        .then(|| quote!(#locked))
}

/// The call of the library that runs the test.
struct Call<'options> {
    library: &'options Path,
    test: TokenStream,
    failed: TokenStream,
}

impl<'options> Call<'options> {
    fn new(function: &ItemFn, options: &'options Options) -> Self {
        let library = &options.library;
        let name = function.sig.ident.to_string();
        let should_panic = function.attrs.iter().find(|attribute| attribute.path().is_ident("should_panic"));
        let should_panic = should_panic.map_or_else(
            || quote!(::core::option::Option::None),
            |attribute| {
                let expected = expected_message(attribute);
                quote!(::core::option::Option::Some(#expected))
            },
        );
        let fixtures = &options.fixtures;
        let none = || quote!(::core::option::Option::None);
        let lint = options.lint.as_ref().map_or_else(none, |lint| quote!(::core::option::Option::Some(#lint)));
        // The test harness names a test by this path without the crate.
        let test = quote! {
            #library::__private::Test {
                name: ::core::concat!(::core::module_path!(), "::", #name),
                should_panic: #should_panic,
                fixtures: &[#(#fixtures),*],
                lint: #lint,
            }
        };
        let failed = quote! {
            |outcome| {
                #[allow(unused_imports)]
                use #library::__private::{OfAnything as _, OfResult as _};
                (&#library::__private::Returned(outcome)).failed()
            }
        };
        Self { library, test, failed }
    }

    fn function(&self, body: &TokenStream) -> TokenStream {
        let Self { library, test, failed } = self;
        quote!(#library::__private::run_clean(#test, #body, #failed))
    }

    /// A future that acquires the databases when it is first polled: `serial_test` gets it before it takes its lock.
    fn future(&self, body: &TokenStream) -> TokenStream {
        let Self { library, test, failed } = self;
        quote!(async move { #library::__private::CleanTest::begin(#test).run(#body, #failed).await })
    }
}

/// The text of `#[should_panic]`, `#[should_panic = "…"]` or `#[should_panic(expected = "…")]`. The compiler reports
/// mistakes in it.
fn expected_message(attribute: &Attribute) -> String {
    let value = match &attribute.meta {
        Meta::NameValue(expected) => Some(expected.value.clone()),
        Meta::List(_) => attribute.parse_args::<MetaNameValue>().ok().map(|expected| expected.value),
        Meta::Path(_) => None,
    };
    match value {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => text.value(),
        _ => String::new(),
    }
}
