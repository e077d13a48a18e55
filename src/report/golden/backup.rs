use super::super::backup::*;

#[test]
fn backup_is_golden() {
    golden!(
        "backup",
        [EMPTY],
        [FOREIGN],
        [CUT],
        [UNKNOWN],
        [NOT_SORTED],
        [AFTER_END],
        [CHANGED],
        [other_count(12, 11)]
    );
}
