//! Which mutants there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use transient_fixtures::__cargo_transient::matches;

use super::baseline::Baseline;
use super::mutant::Mutant;
use super::operator::{OPERATORS, Operator};
use super::script;
use super::transcript::Step;
use crate::shape::{Shape, Vocabulary};

/// How many key patterns of a shape are tried alone.
const FAMILIES: usize = 12;

/// The order in which mutants are tried while there is time. Those after it come last.
const ORDER: [&str; 17] = [
    "ttl-x60",
    "ttl-drop",
    "ttl-none",
    "del-skip",
    "nx-drop",
    "xx-drop",
    "gt-drop",
    "lt-drop",
    "watch-skip",
    "publish-skip",
    "range-open",
    "score+1h",
    "order-flip",
    "bound-drop",
    "read-nil",
    "twice",
    "write-skip",
];

/// What the user wants to try.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) operators: Vec<&'static Operator>,
    /// Patterns of shapes. Without one, all.
    pub(super) shapes: Vec<String>,
    pub(super) limit: Option<usize>,
}

impl Selection {
    pub(super) fn new(
        only: &[&'static Operator],
        skip: &[&'static Operator],
        shapes: &[String],
        limit: Option<usize>,
    ) -> Self {
        let is_in =
            |list: &[&'static Operator], operator: &Operator| list.iter().any(|other| other.name == operator.name);
        let operators = OPERATORS
            .iter()
            .filter(|operator| (only.is_empty() || is_in(only, operator)) && !is_in(skip, operator))
            .collect();
        Self { operators, shapes: shapes.to_vec(), limit }
    }

    fn has(&self, shape: &Shape) -> bool {
        let text = shape.to_string();
        self.shapes.is_empty() || self.shapes.iter().any(|pattern| matches(pattern.as_bytes(), text.as_bytes()))
    }
}

/// An operator on the commands of a shape.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) operator: &'static Operator,
    pub(super) scope: Scope,
    /// Of scripts, only this command in them is changed.
    pub(super) inner: Option<String>,
    /// The commands that it changes.
    pub(super) targets: Vec<usize>,
    /// Their shapes, the most frequent one first.
    pub(super) shapes: Vec<Shape>,
}

/// The commands that a mutant changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Those of a shape, whatever their keys.
    Skeleton(Shape),
    /// Those of a shape with one pattern of keys.
    Family(Shape),
}

impl Scope {
    pub(super) fn has(&self, words: &[Vec<u8>], vocabulary: &Vocabulary) -> bool {
        self.has_shape(&Shape::of(words, vocabulary))
    }

    fn has_shape(&self, shape: &Shape) -> bool {
        match self {
            Self::Skeleton(skeleton) => shape.skeleton() == *skeleton,
            Self::Family(family) => shape == family,
        }
    }

    pub(super) fn skeleton(&self) -> Shape {
        match self {
            Self::Skeleton(skeleton) => skeleton.clone(),
            Self::Family(family) => family.skeleton(),
        }
    }
}

impl Candidate {
    fn new(
        operator: &'static Operator,
        scope: Scope,
        inner: Option<String>,
        targets: Vec<usize>,
        baseline: &Baseline,
    ) -> Self {
        let mut uses: BTreeMap<&Shape, usize> = BTreeMap::new();
        for index in &targets {
            *uses.entry(&baseline.shapes[*index]).or_default() += 1;
        }
        let mut shapes: Vec<_> = uses.into_iter().collect();
        shapes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self { operator, scope, inner, targets, shapes: shapes.into_iter().map(|(shape, _)| shape.clone()).collect() }
    }

    /// The mutant itself.
    pub(super) fn mutant(&self, vocabulary: &Arc<Vocabulary>) -> Mutant {
        let (scope, vocabulary) = (self.scope.clone(), vocabulary.clone());
        let mutant = Mutant::new(self.operator, Box::new(move |words| scope.has(words, &vocabulary)));
        match &self.inner {
            Some(inner) => mutant.inside(inner),
            None => mutant,
        }
    }

    /// The shape as `--accept` and the report name it: with the pattern of its keys if all have the same.
    pub(super) fn shape(&self) -> String {
        let shape = match self.shapes.as_slice() {
            [shape] => shape.to_string(),
            _ => self.scope.skeleton().to_string(),
        };
        self.inner.as_ref().map_or_else(|| shape.clone(), |inner| format!("{inner} in {shape}"))
    }

    /// The position in the order in which mutants are tried.
    pub(super) fn rank(&self) -> usize {
        ORDER.iter().position(|name| *name == self.operator.name).unwrap_or(ORDER.len())
    }

    /// The same operator on each pattern of keys alone.
    pub(super) fn families(&self, baseline: &Baseline) -> Vec<Self> {
        if matches!(self.scope, Scope::Family(_)) || self.shapes.len() < 2 {
            return Vec::new();
        }
        let families = self.shapes.iter().map(|shape| {
            let targets = self.targets.iter().copied().filter(|index| baseline.shapes[*index] == *shape).collect();
            Self::new(self.operator, Scope::Family(shape.clone()), self.inner.clone(), targets, baseline)
        });
        families.take(FAMILIES).collect()
    }
}

/// All mutants of whole shapes, in the order in which they are tried.
pub(super) fn candidates(baseline: &Baseline, selection: &Selection) -> Vec<Candidate> {
    let mut targets: BTreeMap<(Scope, usize, Option<String>), Vec<usize>> = BTreeMap::new();
    let mut inner_names = HashMap::new();
    let transcript = &baseline.transcript;
    for (index, (exchange, entry)) in transcript.exchanges.iter().zip(&transcript.entries).enumerate() {
        let (shape, words) = (&baseline.shapes[index], &exchange.words);
        let is_sent = matches!(entry.step, Step::Send | Step::Queued) && !entry.is_ours;
        if !is_sent || words.is_empty() || !selection.has(shape) {
            continue;
        }
        let scope =
            if selection.shapes.is_empty() { Scope::Skeleton(shape.skeleton()) } else { Scope::Family(shape.clone()) };
        let inner: &[String] = match script::text(words, &baseline.scripts) {
            Some(text) => inner_names.entry(shape.skeleton()).or_insert_with(|| commands_in(text)),
            None => &[],
        };
        for (number, operator) in selection.operators.iter().enumerate() {
            if operator.mutate(words).is_some() {
                targets.entry((scope.clone(), number, None)).or_default().push(index);
            }
            for name in inner.iter().filter(|name| operator.changes_in_scripts(name)) {
                targets.entry((scope.clone(), number, Some(name.clone()))).or_default().push(index);
            }
        }
    }
    let candidate = |((scope, number, inner), targets)| {
        Candidate::new(selection.operators[number], scope, inner, targets, baseline)
    };
    let mut candidates: Vec<_> = targets.into_iter().map(candidate).collect();
    candidates.sort_by_key(|candidate| (candidate.rank(), std::cmp::Reverse(candidate.targets.len())));
    candidates.truncate(selection.limit.unwrap_or(usize::MAX));
    candidates
}

/// The names of the commands that a script calls, as far as its text has them.
fn commands_in(script: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    for call in ["redis.call", "redis.pcall"] {
        for (at, _) in script.match_indices(call) {
            let rest = script[at + call.len()..].trim_start().trim_start_matches('(').trim_start();
            let Some(quote) = rest.chars().next().filter(|letter| matches!(letter, '\'' | '"')) else { continue };
            let name = rest[1..].split(quote).next().unwrap_or_default();
            names.insert(name.to_uppercase());
        }
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::commands_in;

    #[test]
    fn scripts_name_their_commands() {
        let script = "if redis.call('get', KEYS[1]) then return redis.pcall( \"DEL\", KEYS[1]) end redis.call(name)";
        assert_eq!(commands_in(script), ["DEL", "GET"]);
    }
}
