use porting::Prices;

const REDIS_URL: &str = "redis://127.0.0.1:6379";

#[test]
fn a_price_is_remembered() {
    // A key that no other test uses.
    let article = 4711;
    let mut prices = Prices::open(REDIS_URL).unwrap();
    prices.remember(article, 12_900).unwrap();
    assert_eq!(prices.get(article).unwrap(), Some(12_900));
}
