//! Keys that expire later, never or at once.

use crate::mutate::answer::{Answer, Effect};
use crate::mutate::longer::TTL;
use crate::mutate::rule::Rule;

const EXPIRE: &str = "EXPIRE PEXPIRE EXPIREAT PEXPIREAT";
const HASH_EXPIRE: &str = "HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT";

pub(super) const DROP: &[Rule] = &[
    // With GET, the reply is the old value.
    Rule::without("SET", TTL).when("EX|PX|EXAT|PXAT GET"),
    Rule::without("SET", TTL).effect(Effect::IfReply),
    Rule::to("SETEX PSETEX", "SET $1 $3"),
    Rule::to(EXPIRE, "EXISTS $1").effect(Effect::IfReply),
    Rule::to("GETEX", "GET $1").when(TTL).effect(Effect::IfReply),
    Rule::to(HASH_EXPIRE, "HMGET $1 $fields").answer(Answer::EachSet).effect(Effect::IfReply),
    Rule::to("HGETEX", "HMGET $1 $fields").when(TTL).effect(Effect::IfReply),
    Rule::without("HSETEX", TTL).effect(Effect::IfReply),
];

pub(super) const TIMES_60: &[Rule] = &[
    Rule::longer_option("SET").when("EX|PX|EXAT|PXAT GET"),
    Rule::longer_option("SET GETEX HGETEX HSETEX").effect(Effect::IfReply),
    Rule::longer_argument("SETEX PSETEX"),
    Rule::longer_argument(EXPIRE).effect(Effect::IfReply),
    Rule::longer_argument(HASH_EXPIRE).effect(Effect::IfReply),
];

// A time in the past, because a millisecond can be too late.
pub(super) const NONE: &[Rule] = &[Rule::to(EXPIRE, "PEXPIREAT $1 1").effect(Effect::IfReply)];
