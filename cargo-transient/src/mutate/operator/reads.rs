//! Reads that find nothing, or too much.

use crate::mutate::answer::{Answer, Effect};
use crate::mutate::rule::Rule;

pub(super) const NIL: &[Rule] = &[
    read("GET GETEX HGET LINDEX").answer(Answer::Nothing),
    read("MGET HMGET").answer(Answer::Nils),
    read("HGETALL LRANGE SMEMBERS ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE ZRANGEBYLEX ZREVRANGEBYLEX")
        .answer(Answer::Nothing),
];

const fn read(commands: &'static str) -> Rule {
    Rule::to(commands, "$0 $1*").effect(Effect::IfReply)
}

pub(super) const RANGE_OPEN: &[Rule] = &[
    open("ZRANGEBYSCORE ZCOUNT", "$0 $1 -inf +inf $4*"),
    open("ZREVRANGEBYSCORE", "$0 $1 +inf -inf $4*"),
    open("ZRANGE", "$0 $1 +inf -inf $4*").when("BYSCORE REV"),
    open("ZRANGE", "$0 $1 -inf +inf $4*").when("BYSCORE"),
];

const fn open(commands: &'static str, words: &'static str) -> Rule {
    Rule::to(commands, words).first("$0 $1*").effect(Effect::IfOther)
}
