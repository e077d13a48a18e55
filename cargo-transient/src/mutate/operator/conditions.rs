//! Commands without their conditions.

use crate::mutate::answer::{Answer, Effect};
use crate::mutate::rule::{Number, Rule};

const EXPIRE: &str = "EXPIRE PEXPIRE EXPIREAT PEXPIREAT";

pub(super) const NX: &[Rule] = &[
    Rule::without("SET", "NX").first("EXISTS $1").effect(Effect::IfFirst),
    Rule::without("ZADD", "NX").first("ZMSCORE $1 $items%").effect(Effect::IfFirst),
    Rule::without(EXPIRE, "NX").first("PTTL $1").effect(Effect::IfFirst),
    Rule::without("HSETEX", "FNX").first("HMGET $1 $pairs").effect(Effect::IfFirst),
    one("SETNX", "SET $1 $2").first("EXISTS $1"),
    one("HSETNX", "HSET $1 $2 $3").first("HEXISTS $1 $2"),
    one("MSETNX", "MSET $1*").first("EXISTS $1%"),
];

const fn one(command: &'static str, words: &'static str) -> Rule {
    Rule::to(command, words).answer_with(Answer::Number, Number::Is(1)).effect(Effect::IfFirst)
}

pub(super) const XX: &[Rule] = &[
    Rule::without("SET", "XX").first("EXISTS $1").effect(Effect::UnlessFirst),
    Rule::without("ZADD", "XX").first("ZMSCORE $1 $items%").effect(Effect::UnlessFirst),
    // -1: it has no TTL. -2: there is no key.
    Rule::without(EXPIRE, "XX").first("PTTL $1").effect(Effect::IfFirstIs(-1)),
    Rule::without("HSETEX", "FXX").first("HMGET $1 $pairs").effect(Effect::UnlessFirst),
];

pub(super) const GT: &[Rule] = &[
    Rule::without("ZADD", "GT").first("ZMSCORE $1 $items%").effect(Effect::IfFirst),
    Rule::without(EXPIRE, "GT").effect(Effect::IfReply),
];

pub(super) const LT: &[Rule] = &[
    Rule::without("ZADD", "LT").first("ZMSCORE $1 $items%").effect(Effect::IfFirst),
    Rule::without(EXPIRE, "LT").effect(Effect::IfReply),
];

pub(super) const WATCH_SKIP: &[Rule] = &[Rule::to("WATCH", "PING").answer(Answer::Ok)];
