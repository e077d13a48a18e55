//! The articles that a visitor wants to buy.

use std::collections::BTreeMap;

use redis::RedisResult;
use serde_json::Value;

use crate::Session;

pub(crate) const CART: &str = "cart";

/// The cart in a visitor's session.
pub struct Cart<'session> {
    session: &'session mut Session,
}

impl<'session> Cart<'session> {
    /// Opens the cart in this session.
    pub fn of(session: &'session mut Session) -> Self {
        Self { session }
    }

    /// Returns the quantity of each brand.
    pub fn contents(&self) -> BTreeMap<String, u64> {
        let brands = self.session.get(CART).and_then(Value::as_object).into_iter().flatten();
        brands.filter_map(|(brand, count)| Some((brand.clone(), count.as_u64()?))).collect()
    }

    /// Adds this quantity of a brand.
    pub fn add(&mut self, brand: &str, count: u64) -> RedisResult<()> {
        let mut contents = self.contents();
        *contents.entry(brand.to_owned()).or_default() += count;
        self.session.set([(CART, Value::from_iter(contents))])
    }
}
