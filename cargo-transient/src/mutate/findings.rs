//! What the trials of the mutants say about the suite.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::accept::{self, Entry};
use super::baseline::Baseline;
use super::plan::{Candidate, Scope};
use super::replay::Difference;
use super::replays::Replayed;
use super::reruns::{self, Rerun};
use crate::report;
use crate::report::mutate::{Certainty, Finding, Other, Summary};
use crate::resp::Reply;

/// Mutants that only their whole shape is run for, and these for each pattern of keys too.
const FAMILY_RUNS: [&str; 2] = ["read-nil", "write-skip"];

/// How often a pattern of keys must be used for that.
const FAMILY_USES: usize = 2;

/// How many letters and elements of a reply are shown.
const REPLY: usize = 24;
const ELEMENTS: usize = 3;

/// Which operators a survivor hides on the same commands: they change less.
const HIDES: [(&str, &[&str]); 2] = [
    (
        "write-skip",
        &[
            "ttl-drop",
            "ttl-x60",
            "ttl-none",
            "nx-drop",
            "xx-drop",
            "gt-drop",
            "lt-drop",
            "twice",
            "order-flip",
            "score+1h",
            "bound-drop",
        ],
    ),
    ("ttl-drop", &["ttl-x60"]),
];

/// What is known of a mutant.
pub(super) struct Trial {
    pub(super) candidate: Candidate,
    /// `None` if there was no time.
    pub(super) replayed: Option<Replayed>,
    /// `None` if the suite was not run.
    pub(super) rerun: Option<Rerun>,
}

/// Whether the suite notices a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    NotReached,
    Noticed,
    Unnoticed(Certainty),
    /// A later reply differs; whether a test looks at it is not known.
    Undecided,
    /// The replay and the suite don't agree: the suite has failed, though all replies were the same.
    Contradiction,
}

impl Trial {
    pub(super) fn of(candidate: Candidate, replayed: Option<Replayed>) -> Self {
        Self { candidate, replayed, rerun: None }
    }

    pub(super) fn is_undecided(&self) -> bool {
        self.verdict() == Verdict::Undecided
    }

    /// The whole shape is run before single patterns of keys, most of which it decides.
    pub(super) fn is_worth_a_run(&self) -> bool {
        let is_run =
            || FAMILY_RUNS.contains(&self.candidate.operator.name) && self.candidate.targets.len() >= FAMILY_USES;
        matches!(self.candidate.scope, Scope::Skeleton(_)) || is_run()
    }

    /// A pattern of keys that needs a run counts only if it gets one: that of the whole shape stands for it.
    fn counts(&self) -> bool {
        match self.verdict() {
            Verdict::NotReached => false,
            Verdict::Undecided => self.is_worth_a_run(),
            _ => true,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match (&self.replayed, self.rerun) {
            (Some(Replayed::NotReached), _) | (_, Some(Rerun::NotReached)) => Verdict::NotReached,
            (Some(Replayed::Same), Some(Rerun::Failed | Rerun::Hung)) => Verdict::Contradiction,
            (Some(Replayed::Same), _) => Verdict::Unnoticed(Certainty::Certain),
            (_, Some(Rerun::Failed | Rerun::Hung)) => Verdict::Noticed,
            (_, Some(Rerun::Passed(tests))) => Verdict::Unnoticed(Certainty::Passed(tests)),
            (_, None) => Verdict::Undecided,
        }
    }
}

pub(super) struct Report {
    pub(super) text: String,
    pub(super) json: Value,
    /// How many findings are not accepted.
    pub(super) unaccepted: usize,
}

/// Folds the trials into findings.
pub(super) fn report(
    baseline: &Baseline,
    trials: &[Trial],
    accepted: &mut [Entry],
    incomparable: usize,
    took: Duration,
) -> Report {
    let reached: Vec<_> = trials.iter().filter(|trial| trial.counts()).collect();
    let unnoticed: Vec<_> = reached.iter().filter(|trial| matches!(trial.verdict(), Verdict::Unnoticed(_))).collect();
    let shown = unnoticed.iter().filter(|trial| !unnoticed.iter().any(|other| hides(other, trial)));
    let (mut findings, mut is_accepted) = (Vec::new(), 0);
    for trial in shown {
        let finding = finding(baseline, trial);
        if accept::accepts(accepted, &finding.shape, finding.operator) {
            is_accepted += 1;
        } else {
            findings.push(finding);
        }
    }
    findings.sort_by_key(|finding| finding.certainty != Certainty::Certain);
    let count = |verdict: Verdict| reached.iter().filter(|trial| trial.verdict() == verdict).count();
    let shapes: BTreeSet<_> = reached.iter().map(|trial| trial.candidate.scope.skeleton()).collect();
    let summary = Summary {
        tests: baseline
            .outcomes
            .total
            .or((!baseline.outcomes.passed.is_empty()).then_some(baseline.outcomes.passed.len())),
        tests_on_redis: baseline.tests_on_redis(),
        commands: baseline.transcript.exchanges.len(),
        shapes: shapes.len(),
        mutants: reached.len(),
        noticed: count(Verdict::Noticed) + count(Verdict::Contradiction),
        unnoticed: unnoticed.len(),
        undecided: count(Verdict::Undecided),
        findings: findings.len(),
        accepted: is_accepted,
        incomparable,
        took,
        never_seen: baseline.never_seen.clone(),
        flaky: baseline.flaky.iter().cloned().collect(),
        unused: accepted
            .iter()
            .filter(|entry| !entry.is_used)
            .map(|entry| (entry.shape.clone(), entry.operator.clone()))
            .collect(),
        contradictions: reached
            .iter()
            .filter(|trial| trial.verdict() == Verdict::Contradiction)
            .map(|trial| (trial.candidate.shape(), trial.candidate.operator.name.to_owned()))
            .collect(),
    };
    let certain = reached.iter().filter(|trial| matches!(trial.replayed, Some(Replayed::Same)));
    let (certain, confirmed) = (certain.clone().count(), certain.filter(|trial| trial.rerun.is_some()).count());
    let mut json = json(&summary, &findings);
    json["certain"] = certain.into();
    json["certain_and_run"] = confirmed.into();
    Report { text: report::mutate::report(&summary, &findings), json, unaccepted: findings.len() }
}

/// Whether a survivor makes another one say nothing new.
fn hides(stronger: &Trial, weaker: &Trial) -> bool {
    let (by, of) = (&stronger.candidate, &weaker.candidate);
    let is_stronger =
        HIDES.iter().any(|(name, hidden)| *name == by.operator.name && hidden.contains(&of.operator.name));
    is_stronger
        && by.inner == of.inner
        && by.scope.skeleton() == of.scope.skeleton()
        && of.targets.iter().all(|index| by.targets.contains(index))
}

fn finding(baseline: &Baseline, trial: &Trial) -> Finding {
    let candidate = &trial.candidate;
    let certainty = match trial.verdict() {
        Verdict::Unnoticed(certainty) => certainty,
        _ => Certainty::Certain,
    };
    Finding {
        shape: candidate.shape(),
        command: candidate.inner.clone().unwrap_or_else(|| candidate.scope.skeleton().name().to_owned()),
        operator: candidate.operator.name,
        keys: candidate.shapes.iter().filter_map(|shape| shape.pattern().map(str::to_owned)).collect(),
        uses: candidate.targets.len(),
        certainty,
        difference: match &trial.replayed {
            Some(Replayed::Differs(Difference { index, recorded, replayed })) => Some(Other {
                shape: baseline.shapes[*index].to_string(),
                replies: [recorded, replayed].map(|reply| reply.as_ref().map_or_else(String::new, short)),
            }),
            _ => None,
        },
        sent_by: reruns::senders(baseline, candidate).into_iter().map(str::to_owned).collect(),
    }
}

/// The beginning of a reply.
fn short(reply: &Reply) -> String {
    match reply {
        Reply::Line(b'_', _) | Reply::Bytes(_, None) | Reply::Elements(_, None) => "nil".to_owned(),
        Reply::Line(_, text) | Reply::Bytes(_, Some(text)) => {
            let text = String::from_utf8_lossy(text);
            let cut: String = text.chars().take(REPLY).filter(|letter| !letter.is_control()).collect();
            if cut.len() < text.len() { cut + "…" } else { cut }
        }
        Reply::Elements(_, Some(elements)) => {
            let shown: Vec<_> = elements.iter().take(ELEMENTS).map(short).collect();
            let more = if elements.len() > ELEMENTS { ", …" } else { "" };
            format!("[{}{more}]", shown.join(", "))
        }
    }
}

fn json(summary: &Summary, findings: &[Finding]) -> Value {
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "shape": finding.shape,
                "operator": finding.operator,
                "certainty": if finding.certainty == Certainty::Certain { "certain" } else { "passed" },
                "sent_by": finding.sent_by,
                "commands": finding.uses,
                "claim": report::mutate::claim(finding),
                "to_close": report::mutate::to_close(finding),
            })
        })
        .collect();
    json!({
        "tests": summary.tests,
        "tests_on_redis": summary.tests_on_redis,
        "commands": summary.commands,
        "shapes": summary.shapes,
        "mutants": summary.mutants,
        "noticed": summary.noticed,
        "unnoticed": summary.unnoticed,
        "undecided": summary.undecided,
        "accepted": summary.accepted,
        "incomparable": summary.incomparable,
        "seconds": summary.took.as_secs_f64(),
        "contradictions": summary.contradictions,
        "unused_accept": summary.unused,
        "findings": findings,
        "never_seen": summary.never_seen.iter().map(|(shape, what)| json!({"shape": shape, "never": what})).collect::<Vec<_>>(),
    })
}
