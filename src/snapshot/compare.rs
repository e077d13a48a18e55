//! The differences between two values.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::text::{key, pair, score, shown};
use super::value::{Field, Group, RedisValue, Stream, StreamEntry};
use super::{RedisBytes, text};
use crate::report;

/// How many differences of one value are listed.
const PARTS: usize = 5;

/// How many bytes of a long string are shown before its first difference.
const LEAD: usize = 16;

/// Whether the values differ, not counting the TTLs of hash fields.
pub(super) fn differ(before: &RedisValue, after: &RedisValue) -> bool {
    match (before, after) {
        (RedisValue::Hash(before), RedisValue::Hash(after)) => {
            before.len() != after.len()
                || before.iter().zip(after).any(|(one, other)| (one.0, &one.1.value) != (other.0, &other.1.value))
        }
        _ => before != after,
    }
}

/// Lists the differences on one line.
pub(super) fn difference(before: &RedisValue, after: &RedisValue) -> String {
    let parts = match (before, after) {
        (RedisValue::String(before), RedisValue::String(after)) => strings(before.as_slice(), after.as_slice()),
        (RedisValue::List(before), RedisValue::List(after)) => lists(before, after),
        (RedisValue::Set(before), RedisValue::Set(after)) => {
            let [before, after] = [before, after].map(|members| members.iter().map(|member| (member, ())).collect());
            maps(&before, &after, |member, ()| shown(member), |member, (), ()| shown(member))
        }
        (RedisValue::Hash(before), RedisValue::Hash(after)) => {
            let [before, after] =
                [before, after].map(|fields| fields.iter().map(|(name, Field { value, .. })| (name, value)).collect());
            let changed = |name: &RedisBytes, before: &RedisBytes, after: &RedisBytes| {
                arrow(&shown(name), shown(before), shown(after))
            };
            maps(&before, &after, |name, value| format!("{}: {}", shown(name), shown(value)), changed)
        }
        (RedisValue::SortedSet(before), RedisValue::SortedSet(after)) => {
            let [before, after] =
                [before, after].map(|members| members.iter().map(|one| (&one.member, one.score)).collect());
            let changed = |member: &RedisBytes, before, after| arrow(&shown(member), score(before), score(after));
            maps(&before, &after, |member, value| format!("{}: {}", shown(member), score(value)), changed)
        }
        (RedisValue::Stream(before), RedisValue::Stream(after)) => streams(before, after),
        (RedisValue::Other(before), RedisValue::Other(after)) if before.type_name == after.type_name => {
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

fn arrow(name: &str, before: impl Display, after: impl Display) -> String {
    format!("{name}: {before} -> {after}")
}

/// Shows whole strings, or, if they are cut, the part from shortly before the first byte that differs.
fn strings(before: &[u8], after: &[u8]) -> Vec<String> {
    let (one, other) = (shown(before), shown(after));
    let same = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    if same < LEAD * 2 || (one.ends_with('"') && other.ends_with('"')) {
        return vec![format!("{one} -> {other}")];
    }
    // Text must not be cut within a character.
    let start = (0..=same - LEAD).rev().find(|at| before[*at] & 0xc0 != 0x80).unwrap_or_default();
    vec![format!("from byte {start}: …{} -> …{}", shown(&before[start..]), shown(&after[start..]))]
}

fn lists(before: &[RedisBytes], after: &[RedisBytes]) -> Vec<String> {
    // Skips the common head and tail, so that a push or a pop is one difference in a list of any length.
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
    before: &BTreeMap<&RedisBytes, T>,
    after: &BTreeMap<&RedisBytes, T>,
    show: impl Fn(&RedisBytes, T) -> String,
    changed: impl Fn(&RedisBytes, T, T) -> String,
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

fn groups(name: &RedisBytes, before: &Group, after: &Group) -> Vec<String> {
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

fn counts<T: Display + PartialEq>(name: &str, before: Option<T>, after: Option<T>) -> Option<String> {
    let (before, after) = (before?, after?);
    (before != after).then(|| arrow(name, before, after))
}
