use std::path::Path;

use super::super::snapshot::*;

#[test]
fn snapshot_is_golden() {
    let path = Path::new("/shop/fixtures/brands.json");
    let lines = ["added 14 cart:1 string \"cap\"".to_owned(), "removed 14 brand:1 string \"Asa\"".to_owned()];
    let words = "wrong number of arguments for 'hset' command";
    golden!(
        "snapshot",
        [NO_DIFFERENCE],
        [OPAQUE],
        [OPAQUE_DIFFERS],
        [NOT_COMPARABLE],
        [bounded(&[], 0), "nothing"],
        [bounded(&lines, 0), "all"],
        [bounded(&lines, 3), "a part"],
        [not_written(path)],
        [not_read(path)],
        [no_snapshot(path, 0, 0), "the line is unknown"],
        [no_snapshot(path, 3, 1), "the line is known"],
        [without_place(&"expected value at line 3 column 1")],
        [other_version(2, 1)],
        [empty(14, "cart:1", "list")],
        [twice(14, "cart:1")],
        [unwritable(Some(path), 14, "brand:1", "vectorset"), "from a file"],
        [unwritable(None, 14, "brand:1", "vectorset"), "not from a file"],
        [other_database(Some(path), 3, [14, 15])],
        [not_restored(Some(path), Some((14, "cart:1")), words, Some(true)), "executed, undone"],
        [not_restored(Some(path), Some((14, "cart:1")), words, Some(false)), "executed, not undone"],
        [not_restored(None, Some((14, "cart:1")), "unknown command 'HPEXPIRE'", None), "no timeouts of fields"],
        [not_restored(None, Some((14, "cart:1")), "unknown command 'JSON.SET'", None), "refused"],
        [
            not_restored(None, None, "NOPERM this user has no permissions to run the 'flushdb' command", None),
            "not about a key"
        ],
    );
}
