use porting::Prices;
use testcontainers_modules::redis::{REDIS_PORT, Redis};
use testcontainers_modules::testcontainers::runners::SyncRunner;

#[test]
fn a_price_is_remembered() {
    let container = Redis::default().start().unwrap();
    let (host, port) = (container.get_host().unwrap(), container.get_host_port_ipv4(REDIS_PORT).unwrap());
    let mut prices = Prices::open(&format!("redis://{host}:{port}")).unwrap();
    prices.remember(1, 12_900).unwrap();
    assert_eq!(prices.get(1).unwrap(), Some(12_900));
}
