use porting::Prices;
use redis::ConnectionAddr;
use redis_test::server::RedisServer;

#[test]
fn a_price_is_remembered() {
    let server = RedisServer::new();
    let ConnectionAddr::Tcp(host, port) = server.client_addr() else { panic!("not on TCP") };
    let url = format!("redis://{host}:{port}");
    // The server might not be listening yet.
    let mut prices = loop {
        match Prices::open(&url) {
            Ok(prices) => break prices,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    };
    prices.remember(1, 12_900).unwrap();
    assert_eq!(prices.get(1).unwrap(), Some(12_900));
}
