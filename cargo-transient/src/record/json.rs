//! The summary for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::summary::{Never, ShapeSummary, Summary};
use crate::shape::Shape;

/// The whole summary.
pub(crate) fn of(summary: &Summary, elapsed: Duration) -> Value {
    let without_ttl = summary.without_ttl.iter().map(|(shape, found)| {
        json!({
            "shape": shape.to_string(),
            "never": found.never,
            "lost": found.lost,
            "example": String::from_utf8_lossy(&found.example),
        })
    });
    let repeated = summary.repeated.iter().map(|(shape, found)| {
        json!({
            "shape": shape.to_string(),
            "rows": found.rows,
            "longest": found.longest,
            "commands": found.commands,
        })
    });
    let never_seen = summary.never_seen.iter().map(|never| {
        json!({
            "shape": never.shape.to_string(),
            "count": never.count,
            "never": match &never.what {
                Never::Outcome(outcome) => format!("{outcome:?}"),
                Never::AnythingBut(answer) => format!("AnythingBut {answer}"),
            },
        })
    });
    json!({
        "version": 1,
        "commands": summary.commands,
        "handshakes": summary.handshakes,
        "connections": summary.connections,
        "round_trips": summary.round_trips,
        "seconds": elapsed.as_secs_f64(),
        "waited_seconds": summary.waited.as_secs_f64(),
        "shapes": summary.shapes.iter().map(shape).collect::<Vec<_>>(),
        "without_ttl": without_ttl.collect::<Vec<_>>(),
        "n_plus_one": repeated.collect::<Vec<_>>(),
        "never_seen": never_seen.collect::<Vec<_>>(),
    })
}

fn shape(summary: &ShapeSummary) -> Value {
    let shape: &Shape = &summary.shape;
    json!({
        "shape": shape.to_string(),
        "name": shape.name(),
        "pattern": shape.pattern(),
        "options": shape.options(),
        "count": summary.count,
        "round_trips": summary.round_trips,
        "example": summary.example.as_deref().map(String::from_utf8_lossy),
        "errors": summary.errors,
        "clients": summary.clients,
    })
}
