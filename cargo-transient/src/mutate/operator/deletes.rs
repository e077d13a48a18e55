//! Commands that delete nothing.

use crate::mutate::answer::{Answer, Effect};
use crate::mutate::rule::{Number, Rule};

pub(super) const SKIP: &[Rule] = &[
    read("DEL UNLINK", "EXISTS $1*"),
    read("GETDEL", "GET $1"),
    read("HGETDEL", "HMGET $1 $fields"),
    read("HDEL", "HMGET $1*").answer(Answer::Found),
    read("ZREM", "ZMSCORE $1*").answer(Answer::Found),
    read("SREM", "SMISMEMBER $1*").answer(Answer::Sum),
    // The position can be 0.
    read("LREM", "LPOS $1 $3").answer(Answer::IsSome).effect(Effect::IfAnswer),
    read("ZREMRANGEBYSCORE", "ZCOUNT $1*"),
    read("ZREMRANGEBYLEX", "ZLEXCOUNT $1*"),
    read("LTRIM", "LLEN $1").answer(Answer::Ok),
    read("XTRIM", "XLEN $1").answer(Answer::Number),
    read("ZREMRANGEBYRANK", "ZCARD $1").answer(Answer::Number),
    read("XACK", "EXISTS $1").answer_with(Answer::Number, Number::Words(3, 1)),
    read("XDEL", "XLEN $1").answer_with(Answer::Number, Number::Words(2, 1)),
    read("PERSIST", "PTTL $1").answer(Answer::IsPositive),
];

const fn read(commands: &'static str, words: &'static str) -> Rule {
    Rule::to(commands, words).effect(Effect::IfReply)
}
