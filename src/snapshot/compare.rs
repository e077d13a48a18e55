//! In which parts two values differ.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::text::{key, pair, score, shown};
use super::value::{Field, Group, Stream, StreamEntry, Value};
use super::{Bytes, text};
use crate::report;

/// How many parts of one value a line names.
const PARTS: usize = 5;

/// How much of a long string is shown before its first difference, in bytes.
const LEAD: usize = 16;

/// Whether the values differ, but for the timeouts of a hash's fields.
pub(super) fn differ(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Hash(before), Value::Hash(after)) => {
            before.len() != after.len()
                || before.iter().zip(after).any(|(one, other)| (one.0, &one.1.value) != (other.0, &other.1.value))
        }
        _ => before != after,
    }
}

/// What differs, on one line.
pub(super) fn difference(before: &Value, after: &Value) -> String {
    let parts = match (before, after) {
        (Value::String(before), Value::String(after)) => strings(before, after),
        (Value::List(before), Value::List(after)) => lists(before, after),
        (Value::Set(before), Value::Set(after)) => {
            let [before, after] = [before, after].map(|members| members.iter().map(|member| (member, ())).collect());
            maps(&before, &after, |member, ()| shown(member), |member, (), ()| shown(member))
        }
        (Value::Hash(before), Value::Hash(after)) => {
            let [before, after] =
                [before, after].map(|fields| fields.iter().map(|(name, Field { value, .. })| (name, value)).collect());
            let changed =
                |name: &Bytes, before: &Bytes, after: &Bytes| arrow(&shown(name), shown(before), shown(after));
            maps(&before, &after, |name, value| format!("{}: {}", shown(name), shown(value)), changed)
        }
        (Value::SortedSet(before), Value::SortedSet(after)) => {
            let [before, after] =
                [before, after].map(|members| members.iter().map(|one| (&one.member, one.score)).collect());
            let changed = |member: &Bytes, before, after| arrow(&shown(member), score(before), score(after));
            maps(&before, &after, |member, value| format!("{}: {}", shown(member), score(value)), changed)
        }
        (Value::Stream(before), Value::Stream(after)) => streams(before, after),
        (Value::Other(before), Value::Other(after)) if before.type_name == after.type_name => {
            vec![report::snapshot::OPAQUE_DIFFERS.to_owned()]
        }
        _ => return format!("{before} -> {after}"),
    };
    let more = parts.len().saturating_sub(PARTS);
    let mut text = format!("{}: {}", after.type_name(), parts[..parts.len() - more].join("; "));
    if more > 0 {
        text += &format!("; and {more} more");
    }
    text
}

fn arrow(what: &str, before: impl Display, after: impl Display) -> String {
    format!("{what}: {before} -> {after}")
}

/// From shortly before the first byte that differs, where all of it is too long for the line.
fn strings(before: &Bytes, after: &Bytes) -> Vec<String> {
    let (one, other) = (shown(before), shown(after));
    let same = before.iter().zip(after.iter()).take_while(|(one, other)| one == other).count();
    if same < LEAD * 2 || (one.ends_with('"') && other.ends_with('"')) {
        return vec![format!("{one} -> {other}")];
    }
    // The start of a character, where it is text.
    let start = (0..=same - LEAD).rev().find(|at| before[*at] & 0xc0 != 0x80).unwrap_or_default();
    vec![format!("from byte {start}: …{} -> …{}", shown(&before[start..]), shown(&after[start..]))]
}

fn lists(before: &[Bytes], after: &[Bytes]) -> Vec<String> {
    // What the ends have in common: a push and a pop are one part, whatever the list's length.
    let head = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let (one, other) = (&before[head..], &after[head..]);
    let tail = one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count();
    let (one, other) = (&one[..one.len() - tail], &other[..other.len() - tail]);
    let changed = one.iter().zip(other).enumerate().filter(|(_, (one, other))| one != other);
    let mut parts: Vec<_> = changed
        .map(|(number, (one, other))| arrow(&format!("[{}]", head + number), shown(one), shown(other)))
        .collect();
    let both = one.len().min(other.len());
    parts.extend(one[both..].iter().zip(both..).map(|(gone, at)| format!("-[{}] {}", head + at, shown(gone))));
    parts.extend(other[both..].iter().zip(both..).map(|(new, at)| format!("+[{}] {}", head + at, shown(new))));
    parts
}

fn maps<T: Copy + PartialEq>(
    before: &BTreeMap<&Bytes, T>,
    after: &BTreeMap<&Bytes, T>,
    show: impl Fn(&Bytes, T) -> String,
    changed: impl Fn(&Bytes, T, T) -> String,
) -> Vec<String> {
    let mut parts = Vec::new();
    for (name, value) in before {
        match after.get(name) {
            None => parts.push(format!("-{}", show(name, *value))),
            Some(other) if value != other => parts.push(changed(name, *value, *other)),
            Some(_) => {}
        }
    }
    let added = after.iter().filter(|(name, _)| !before.contains_key(*name));
    parts.extend(added.map(|(name, value)| format!("+{}", show(name, *value))));
    parts
}

fn streams(before: &Stream, after: &Stream) -> Vec<String> {
    let mut parts = Vec::new();
    let has = |stream: &Stream, entry: &StreamEntry| {
        let found = stream.entries.binary_search_by_key(&entry.id, |other| other.id);
        found.is_ok_and(|at| stream.entries[at] == *entry)
    };
    parts.extend(before.entries.iter().filter(|entry| !has(after, entry)).map(|entry| format!("-{}", entry.id)));
    parts.extend(
        after
            .entries
            .iter()
            .filter(|entry| !has(before, entry))
            .map(|entry| format!("+{} {}", entry.id, text::parts('{', entry.fields.iter().map(pair), "fields", '}'))),
    );
    if before.last_id != after.last_id {
        parts.push(arrow("last id", before.last_id, after.last_id));
    }
    parts.extend(counts("entries added", before.entries_added, after.entries_added));
    parts.extend(counts("max deleted id", before.max_deleted_id, after.max_deleted_id));
    for (name, group) in &before.groups {
        match after.groups.get(name) {
            None => parts.push(format!("-group {}", key(name))),
            Some(later) if group != later => parts.extend(groups(name, group, later)),
            Some(_) => {}
        }
    }
    let added = after.groups.keys().filter(|name| !before.groups.contains_key(*name));
    parts.extend(added.map(|name| format!("+group {}", key(name))));
    parts
}

fn groups(name: &Bytes, before: &Group, after: &Group) -> Vec<String> {
    let mut parts = Vec::new();
    let name = format!("group {}", text::key(name));
    if before.last_delivered_id != after.last_delivered_id {
        parts.push(arrow(&format!("{name} at"), before.last_delivered_id, after.last_delivered_id));
    }
    parts.extend(counts(&format!("{name} entries read"), before.entries_read, after.entries_read));
    if before.pending != after.pending {
        let pending = |group: &Group| {
            let ids = group.pending.iter().map(|one| format!("{} of {}", one.id, key(&one.consumer)));
            text::parts('[', ids, "pending", ']')
        };
        parts.push(arrow(&format!("{name} pending"), pending(before), pending(after)));
    }
    let gone = before.consumers.difference(&after.consumers);
    parts.extend(gone.map(|consumer| format!("{name} -consumer {}", key(consumer))));
    let new = after.consumers.difference(&before.consumers);
    parts.extend(new.map(|consumer| format!("{name} +consumer {}", key(consumer))));
    parts
}

fn counts<T: Display + PartialEq>(what: &str, before: Option<T>, after: Option<T>) -> Option<String> {
    let (before, after) = (before?, after?);
    (before != after).then(|| arrow(what, before, after))
}
