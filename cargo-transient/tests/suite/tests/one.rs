use suite::counts_to_hundred;

#[test]
fn counts_by_day() {
    counts_to_hundred();
}

#[test]
fn counts_by_night() {
    counts_to_hundred();
}
