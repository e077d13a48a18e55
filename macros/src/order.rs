//! Which attributes stand on the test besides ours, and who must expand first.
//!
//! `#[clean_redis]` wraps the function that the test harness calls. Every macro that makes that function out of the
//! author's (`#[rstest]`, `#[tokio::test]`, …) must therefore expand first, and `serial_test`'s lock must end up
//! outside of ours: its lock first, the lease second, always.

use syn::{Attribute, ItemFn};

/// Attributes of `serial_test`. Outside of ours when they stand below us.
const SERIAL: [&str; 4] = ["serial", "parallel", "file_serial", "file_parallel"];

/// Test macros that are not called `…::test`.
const TEST_MACROS: [&str; 4] = ["rstest", "apply", "test_case", "test_matrix"];

pub(crate) fn is_clean_redis(attribute: &Attribute) -> bool {
    last_segment(attribute).is_some_and(|name| name == "clean_redis")
}

/// Whether a macro that makes the real test function still stands below us.
pub(crate) fn test_macro_below(function: &ItemFn) -> bool {
    position_of_last_test_macro(function).is_some()
}

/// The author's attributes with ours (`this`) below every test macro, and `serial_test`'s that stood above such a macro
/// below ours. Nothing else changes places: to rstest the order of attributes means something (those above a `#[case]`
/// are that case's own).
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
                // The built-in `#[test]` makes nothing, but it can't stand on an `async fn`: there, it is an import.
                || name == "test" && (is_async || path.segments.len() > 1) && !is_built_in_test(attribute)
        })
    })
}

/// `#[core::prelude::v1::test]`, as macros write the built-in one.
fn is_built_in_test(attribute: &Attribute) -> bool {
    attribute.path().segments.iter().any(|segment| segment.ident == "prelude")
}

fn is_serial(attribute: &Attribute) -> bool {
    last_segment(attribute).is_some_and(|name| SERIAL.contains(&name.as_str()))
}

fn last_segment(attribute: &Attribute) -> Option<String> {
    attribute.path().segments.last().map(|segment| segment.ident.to_string())
}
