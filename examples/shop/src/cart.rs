//! The articles that a visitor wants to buy.

use std::collections::BTreeMap;

use redis::RedisResult;
use serde_json::{Map, Value};

use crate::Session;

const CART: &str = "cart";

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
        contents(self.session.get(CART))
    }

    /// Adds this quantity of a brand.
    pub fn add(&mut self, brand: &str, count: u64) -> RedisResult<()> {
        self.session.change(|values| {
            let mut contents = contents(values.get(CART));
            *contents.entry(brand.to_owned()).or_default() += count;
            values.insert(CART.to_owned(), Value::from_iter(contents));
        })
    }
}

/// Empties the cart in the values of a session, and returns its contents.
pub(crate) fn take(values: &mut Map<String, Value>) -> BTreeMap<String, u64> {
    contents(values.insert(CART.to_owned(), Map::new().into()).as_ref())
}

fn contents(cart: Option<&Value>) -> BTreeMap<String, u64> {
    let brands = cart.and_then(Value::as_object).into_iter().flatten();
    brands.filter_map(|(brand, count)| Some((brand.clone(), count.as_u64()?))).collect()
}
