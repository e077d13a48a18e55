//! Random values of sessions.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;

/// How many histories each test tries, without a file of those that fail.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(30) }
}

/// Any JSON value. Its floats are those that `serde_json` parses exactly without its feature `float_roundtrip`.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let float = (any::<i32>(), 0..9).prop_map(|(number, decimals)| f64::from(number) / 10_f64.powi(decimals));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        float.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}
