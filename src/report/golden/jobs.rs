use std::time::{Duration, SystemTime};

use super::super::jobs::*;
use super::super::lease::lost;
use super::TEST;

/// Without the seconds, which pass.
fn due(eta: SystemTime) -> String {
    super::super::jobs::due(eta).replace(|letter: char| letter.is_ascii_digit(), "").replace("  ", " N ")
}

#[test]
fn jobs_is_golden() {
    let mails: Vec<_> = (0..21).map(|number| format!("mail: shop.send_mail({number})")).collect();
    let foreign: Vec<_> = (0..21).map(|number| foreign_key(format!("bull:mail:{number}").as_bytes(), "hash")).collect();
    let mail = a_job("shop.send_mail");
    let hour = Duration::from_secs(60 * 60);
    golden!(
        "jobs",
        [NO_HEADERS],
        [NO_BODY],
        [NO_NAME_IN_BODY],
        [NO_CLASS],
        [NO_ARGS],
        [NO_ATTEMPTS],
        [no_kwargs("a Sidekiq job")],
        [no_priority_or_expiry("a Sidekiq job")],
        [ONE_ARGUMENT],
        [name_of_other_queue("mail")],
        [NO_DATA],
        [NO_PLAIN_PICKLE],
        [NO_BODY_OF_ID],
        [NEVER_STILL],
        [NO_NAME],
        [NO_TIME_IN_TEXT],
        [no_name(NO_BODY), "there is no body"],
        [no_name(NO_NAME_IN_BODY), "there is a body"],
        [no_time("eta", "tomorrow")],
        [body_is_not_json(Some("application/x-python-serialize")), "the type is stated"],
        [body_is_not_json(None), "the type is not stated"],
        [other_body(&"EOF at line 1 column 0")],
        [no_base64(&"Invalid symbol 33, offset 0.")],
        [no_json_data(&"expected value at line 1 column 1")],
        [other_data(&"invalid length 2, expected a tuple of size 4")],
        [no_id_of_rq("mail:1")],
        [compressed("application/zstd")],
        [not_aged("shop.send_mail", "mail")],
        [no_priority(10)],
        [opaque_arguments(&compressed("application/zstd"))],
        [NO_JOB],
        [a_job("shop.send_mail")],
        [no_job("shop.send_mail")],
        [with_args(&r#"["asa@example.com"]"#)],
        [with_kwargs(&r#"{"copy":true}"#)],
        [in_queue("mail")],
        [times(&mail, 1, 2)],
        [only(&mail)],
        [readable(&mail, &compressed("application/zstd"))],
        [unexpected(&mail, mails[..0].iter(), &[]), "nothing is queued"],
        [unexpected(&mail, mails[..0].iter(), &foreign[..1]), "only an unknown key is there"],
        [unexpected(&no_job("shop.send_mail"), mails[..1].iter(), &[]), "one job is queued"],
        [unexpected(&only(&mail), mails.iter(), &[]), "more are queued than are listed"],
        [unexpected(NO_JOB, mails[..2].iter(), &foreign), "jobs, and more unknown keys than are listed"],
        [foreign_key(b"bull:mail:1", "hash"), "a short one"],
        [foreign_key(&[b'k'; 130], "hash"), "a long one"],
        [unreadable(b"{}", None), "no reason is known"],
        [unreadable(&[b'x'; 130], Some(NO_HEADERS)), "a long one"],
        [due(SystemTime::now() + hour), "later"],
        [due(SystemTime::now() - hour), "earlier"],
        [not_listed(&format_args!("{}", lost(TEST))), "the lease is lost"],
        [not_listed(&format_args!("{NEVER_STILL}")), "keys keep appearing"],
        [no_json(&"key must be a string")],
        [not_encoded("shop.send_mail")],
    );
}
