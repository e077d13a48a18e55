//! The shop's database. It is in memory here, and counts its queries.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Brands and prices in cents, by article number.
#[derive(Debug, Default)]
pub struct Database {
    brands: Mutex<HashMap<u32, String>>,
    prices: Mutex<HashMap<u32, u64>>,
    queries: AtomicUsize,
}

impl Database {
    pub fn set_brand(&self, article: u32, name: &str) {
        self.brands.lock().expect("the brands").insert(article, name.to_owned());
    }

    pub fn set_price(&self, article: u32, cents: u64) {
        self.prices.lock().expect("the prices").insert(article, cents);
    }

    pub fn brand(&self, article: u32) -> Option<String> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.brands.lock().expect("the brands").get(&article).cloned()
    }

    pub fn price(&self, article: u32) -> Option<u64> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.prices.lock().expect("the prices").get(&article).copied()
    }

    /// Returns the number of queries so far.
    pub fn queries(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }
}
