use porting::Prices;
use redis::{Client, cmd};
use serial_test::serial;

fn clean_redis() -> Prices {
    let url = "redis://127.0.0.1:6379/9";
    cmd("FLUSHDB").exec(&mut Client::open(url).unwrap().get_connection().unwrap()).unwrap();
    Prices::open(url).unwrap()
}

#[test]
#[serial]
fn a_price_is_remembered() {
    let mut prices = clean_redis();
    prices.remember(1, 12_900).unwrap();
    assert_eq!(prices.get(1).unwrap(), Some(12_900));
}

#[test]
#[serial]
fn nothing_is_remembered_at_first() {
    assert_eq!(clean_redis().get(1).unwrap(), None);
}
