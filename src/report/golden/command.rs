use super::super::command::*;
use super::SERVER;

#[test]
fn command_is_golden() {
    golden!("command", [not_a_test_database(&SERVER, 0, 14, 15)]);
}
