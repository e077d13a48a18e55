//! The shop's database. It is in memory here, and counts its queries.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A function that is called before each statement.
type Before = Arc<dyn Fn(&str) + Send + Sync>;

/// A handle to the brands and the prices in cents, by article number. Clones have the same data.
#[derive(Clone, Default)]
pub struct Database {
    tables: Arc<Tables>,
    before: Option<Before>,
}

#[derive(Default)]
struct Tables {
    brands: Mutex<HashMap<u32, String>>,
    prices: Mutex<HashMap<u32, u64>>,
    queries: AtomicUsize,
}

impl Database {
    /// Returns a handle to the same data that calls this function before each statement, for logs and tests.
    #[must_use]
    pub fn calling(&self, before: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { tables: self.tables.clone(), before: Some(Arc::new(before)) }
    }

    pub fn set_brand(&self, article: u32, name: &str) {
        self.begin("write a brand").brands.lock().expect("the brands").insert(article, name.to_owned());
    }

    pub fn set_price(&self, article: u32, cents: u64) {
        self.begin("write a price").prices.lock().expect("the prices").insert(article, cents);
    }

    pub fn brand(&self, article: u32) -> Option<String> {
        self.query("read a brand").brands.lock().expect("the brands").get(&article).cloned()
    }

    pub fn price(&self, article: u32) -> Option<u64> {
        self.query("read a price").prices.lock().expect("the prices").get(&article).copied()
    }

    /// Returns the number of queries so far.
    pub fn queries(&self) -> usize {
        self.tables.queries.load(Ordering::Relaxed)
    }

    fn query(&self, statement: &str) -> &Tables {
        self.tables.queries.fetch_add(1, Ordering::Relaxed);
        self.begin(statement)
    }

    fn begin(&self, statement: &str) -> &Tables {
        if let Some(before) = &self.before {
            before(statement);
        }
        &self.tables
    }
}
