use super::super::kept::*;

#[test]
fn kept_is_golden() {
    golden!("kept", [CONTAINERS], [DOWNLOAD], [RUNNING], [RUNS], [SERVERS], [STARTED]);
}
