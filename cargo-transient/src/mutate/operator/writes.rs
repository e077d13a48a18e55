//! Commands that write nothing, or twice.

use crate::mutate::answer::{Answer, Effect};
use crate::mutate::options::end_of_options;
use crate::mutate::rule::{Number, Rule, Word, number_of};

pub(super) const SKIP: &[Rule] = &[
    Rule::to("SET", "GET $1").when("GET !IFEQ !IFNE !IFDEQ !IFDNE"),
    Rule::to("SET", "EXISTS $1").when("NX").answer(Answer::OkIfZero).effect(Effect::IfAnswer),
    Rule::to("SET", "EXISTS $1").when("XX").answer(Answer::OkUnlessZero).effect(Effect::IfAnswer),
    Rule::to("SET", "PING").when("!GET !IFEQ !IFNE !IFDEQ !IFDNE").answer(Answer::Ok),
    Rule::to("SETEX PSETEX MSET", "PING").answer(Answer::Ok),
    Rule::to("SETNX", "EXISTS $1").answer_with(Answer::Minus, Number::Is(1)).effect(Effect::IfAnswer),
    Rule::to("HSETNX", "HEXISTS $1 $2").answer_with(Answer::Minus, Number::Is(1)).effect(Effect::IfAnswer),
    Rule::to("HSET", "HMGET $1 $2%").answer(Answer::Missing),
    Rule::to("HMSET", "HLEN $1").answer(Answer::Ok),
    Rule::to("SADD", "SMISMEMBER $1*").answer_with(Answer::MinusSum, Number::Words(2, 1)).effect(Effect::IfAnswer),
    Rule::to("ZADD", "ZMSCORE $1 $items%").when("XX !INCR").answer(Answer::Number).effect(Effect::IfReply),
    Rule::to("ZADD", "ZMSCORE $1 $items%").when("NX !INCR").answer(Answer::Missing).effect(Effect::IfAnswer),
    Rule::to("ZADD", "ZMSCORE $1 $items%").when("!XX !INCR").answer(Answer::Missing),
    Rule::to("LPUSH RPUSH", "LLEN $1").answer_with(Answer::Plus, Number::Words(2, 1)),
    Rule::to("INCR", "GET $1").answer_with(Answer::Plus, Number::Is(1)),
    Rule::to("DECR", "GET $1").answer_with(Answer::Plus, Number::Is(-1)),
    Rule::to("INCRBY", "GET $1").answer_with(Answer::Plus, Number::Word(2)),
    Rule::to("DECRBY", "GET $1").answer_with(Answer::Plus, Number::Negative(2)),
    Rule::to("HINCRBY", "HGET $1 $2").answer_with(Answer::Plus, Number::Word(3)),
    Rule::to("XADD", "XLEN $1").when("!NOMKSTREAM").answer_with(Answer::Id, Number::By(time_of_id)),
];

/// Returns the time of the id of an XADD that the server completes: 0 for now.
fn time_of_id(words: &[Word]) -> Option<i64> {
    let time = words.get(end_of_options(words))?.strip_suffix(b"*")?;
    if time.is_empty() { Some(0) } else { number_of(time.strip_suffix(b"-")?) }
}

pub(super) const TWICE: &[Rule] = &[
    twice("LPUSH RPUSH INCR INCRBY INCRBYFLOAT DECR DECRBY HINCRBY HINCRBYFLOAT ZINCRBY APPEND"),
    twice("PUBLISH").effect(Effect::IfReply),
    // The same id would be refused.
    Rule::by("XADD", |words| time_of_id(words).map(|_| words.to_vec())).first("$0 $1*"),
];

const fn twice(commands: &'static str) -> Rule {
    Rule::to(commands, "$0 $1*").first("$0 $1*")
}

pub(super) const PUBLISH_SKIP: &[Rule] = &[
    Rule::to("PUBLISH", "PUBSUB NUMSUB $1").answer(Answer::Second).effect(Effect::IfAnswer),
    Rule::to("SPUBLISH", "PUBSUB SHARDNUMSUB $1").answer(Answer::Second).effect(Effect::IfAnswer),
];
