//! The ways to change a command.

mod conditions;
mod deletes;
mod expiry;
mod order;
mod reads;
mod writes;

use super::rule::{Mutation, Rule, Word};
use super::script;

/// A way to change commands.
#[derive(Debug)]
pub(crate) struct Operator {
    /// Its name, as in `--only`.
    pub(crate) name: &'static str,
    pub(super) rules: &'static [Rule],
}

/// All operators.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator { name: "ttl-drop", rules: expiry::DROP },
    Operator { name: "ttl-x60", rules: expiry::TIMES_60 },
    Operator { name: "ttl-none", rules: expiry::NONE },
    Operator { name: "nx-drop", rules: conditions::NX },
    Operator { name: "xx-drop", rules: conditions::XX },
    Operator { name: "gt-drop", rules: conditions::GT },
    Operator { name: "lt-drop", rules: conditions::LT },
    Operator { name: "del-skip", rules: deletes::SKIP },
    Operator { name: "write-skip", rules: writes::SKIP },
    Operator { name: "twice", rules: writes::TWICE },
    Operator { name: "publish-skip", rules: writes::PUBLISH_SKIP },
    Operator { name: "watch-skip", rules: conditions::WATCH_SKIP },
    Operator { name: "read-nil", rules: reads::NIL },
    Operator { name: "range-open", rules: reads::RANGE_OPEN },
    Operator { name: "score+1h", rules: order::SCORE_PLUS_1H },
    Operator { name: "order-flip", rules: order::FLIP },
    Operator { name: "bound-drop", rules: order::BOUND_DROP },
];

impl Operator {
    /// Returns the operator with this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        OPERATORS.iter().find(|operator| operator.name == name)
    }

    /// Returns the changed command; `None` if the operator does not apply to it.
    pub(crate) fn mutate(&self, words: &[Word]) -> Option<Mutation> {
        self.rules.iter().find_map(|rule| rule.mutate(words))
    }

    /// Whether it changes commands with this name in scripts.
    pub(crate) fn changes_in_scripts(&self, name: &str) -> bool {
        self.rules.iter().any(|rule| rule.is_for(name) && script::can_write(rule))
    }
}

#[cfg(test)]
mod tests;
