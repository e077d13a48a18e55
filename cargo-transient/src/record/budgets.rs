//! What a run may send.

use std::collections::BTreeMap;

use transient_fixtures::__cargo_transient::matches;

use super::OVER_BUDGET;
use super::summary::Summary;
use crate::arguments::Budgets;
use crate::report::record;
use crate::{Failure, report};

/// # Errors
///
/// Returns an error that names every budget that is exceeded.
pub(crate) fn check(budgets: &Budgets, summary: &Summary) -> Result<(), Failure> {
    let mut exceeded = Vec::new();
    if let Some(most) = budgets.round_trips.filter(|most| summary.round_trips > *most) {
        exceeded.push(record::round_trips(summary.round_trips, most));
    }
    for pattern in &budgets.never {
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        let all = summary.shapes.iter().map(|shape| (shape.shape.name(), shape.count));
        for (name, count) in all.chain(summary.handshakes.iter().map(|(name, count)| (name.as_str(), *count))) {
            if is_named(name, &pattern.to_uppercase()) {
                *found.entry(name).or_default() += count;
            }
        }
        exceeded.extend(found.into_iter().map(|(name, count)| record::never(name, count, pattern)));
    }
    if let Some((shape, found)) = summary.without_ttl.first().filter(|_| budgets.never_without_ttl) {
        exceeded.push(record::never_without_ttl(shape, &found.example, summary.without_ttl.len()));
    }
    if let Some((shape, found)) = summary.repeated.first().filter(|_| budgets.never_n_plus_one) {
        exceeded.push(record::never_n_plus_one(shape, found.longest, summary.repeated.len()));
    }
    if exceeded.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = exceeded.iter().map(|text| report::error(text)).collect();
    Err(Failure { text: lines.join("\n"), code: OVER_BUDGET })
}

/// `CLIENT` names all its subcommands.
fn is_named(name: &str, pattern: &str) -> bool {
    let first = name.split(' ').next().unwrap_or_default();
    [name, first].iter().any(|name| matches(pattern.as_bytes(), name.as_bytes()))
}
