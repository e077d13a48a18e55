//! The order in which the attributes of a test expand.
//!
//! `#[clean_redis]` wraps the function that the test harness calls. So every macro that generates this function
//! (`#[rstest]`, `#[tokio::test]`, …) must expand first. The lock of `serial_test` must be taken before the databases
//! are acquired, in every test, so that two tests cannot deadlock.

use syn::{Attribute, ItemFn};

/// The attributes of `serial_test`. Below `#[clean_redis]`, they expand later and wrap it.
const SERIAL: [&str; 4] = ["serial", "parallel", "file_serial", "file_parallel"];

/// Test macros with other names than `test`.
const TEST_MACROS: [&str; 4] = ["rstest", "apply", "test_case", "test_matrix"];

pub(crate) fn is_clean_redis(attribute: &Attribute) -> bool {
    last_segment(attribute).is_some_and(|name| name == "clean_redis")
}

/// Whether a macro below `#[clean_redis]` has yet to generate the test function.
pub(crate) fn test_macro_below(function: &ItemFn) -> bool {
    position_of_last_test_macro(function).is_some()
}

/// Returns the attributes with `this` below every test macro, followed by those of `serial_test` that were above one.
/// All others keep their places, because rstest applies attributes above a `#[case]` to that case only.
pub(crate) fn below_test_macros(function: &ItemFn, this: Attribute) -> Vec<Attribute> {
    let last = position_of_last_test_macro(function);
    let (mut attributes, mut locks) = (Vec::new(), Vec::new());
    for (position, attribute) in function.attrs.iter().cloned().enumerate() {
        if Some(position) < last && is_serial(&attribute) {
            locks.push(attribute);
        } else {
            attributes.push(attribute);
        }
    }
    attributes.push(this);
    attributes.extend(locks);
    attributes
}

fn position_of_last_test_macro(function: &ItemFn) -> Option<usize> {
    let is_async = function.sig.asyncness.is_some();
    function.attrs.iter().rposition(|attribute| {
        let path = attribute.path();
        last_segment(attribute).is_some_and(|name| {
            TEST_MACROS.contains(&name.as_str())
                // The built-in `#[test]` generates nothing and rejects an `async fn`: there, `test` is an imported
                // macro.
                || name == "test" && (is_async || path.segments.len() > 1) && !is_built_in_test(attribute)
        })
    })
}

/// Whether this is `#[core::prelude::v1::test]`, which is how macros write the built-in one.
fn is_built_in_test(attribute: &Attribute) -> bool {
    attribute.path().segments.iter().any(|segment| segment.ident == "prelude")
}

fn is_serial(attribute: &Attribute) -> bool {
    last_segment(attribute).is_some_and(|name| SERIAL.contains(&name.as_str()))
}

fn last_segment(attribute: &Attribute) -> Option<String> {
    attribute.path().segments.last().map(|segment| segment.ident.to_string())
}
