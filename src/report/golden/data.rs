use std::path::{Path, PathBuf};

use super::super::data::*;

#[test]
fn data_is_golden() {
    let path = Path::new("/shop/fixtures/brands.redis");
    let of = |text: &'static [u8], words| Failed { path, line: 3, text, words };
    let short = of(b"HSET brand:1", "wrong number of arguments for 'hset' command");
    let long = of(&[b'x'; 100], "unknown command");
    let wrong_type = of(b"LPUSH brand:1 cap", "Operation against a key holding the wrong kind of value");
    let places: [(Option<Vec<String>>, PathBuf); 3] = [
        (Some(vec!["brands".to_owned(), "carts".to_owned()]), "/shop/api/fixtures".into()),
        (Some(Vec::new()), "/shop/core/fixtures".into()),
        (None, "/shop/fixtures".into()),
    ];
    golden!(
        "data",
        [refused(&short, 0)],
        [refused(&long, 2), "of several lines, a long one"],
        [failed(&wrong_type, 0, true), "undone"],
        [failed(&wrong_type, 1, true), "of several lines, undone"],
        [failed(&wrong_type, 1, false), "of several lines, not undone"],
        [bad_line(path, 3, &open_quotation('"'))],
        [open_quotation('"')],
        [glued_quotation('\'')],
        [forbidden("FLUSHALL")],
        [of_transactions("MULTI")],
        [other_database(b"3", [14, 15])],
        [not_read(path)],
        [twice("brands", path, Path::new("/shop/fixtures/brands.json"))],
        [no_fixture("brand", &places, Some("brands")), "one has nearly that name"],
        [no_fixture("visitors", &places, None), "none has nearly that name"],
        [no_fixture("visitors", &[], None), "there are no places"],
    );
}
