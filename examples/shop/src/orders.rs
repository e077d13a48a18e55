//! Orders, which a worker confirms by mail.

use redis::RedisResult;
use serde_json::json;

use crate::jobs::Jobs;
use crate::{Cart, Session};

/// The result of placing an order.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// The mail is queued, and the cart is empty.
    Confirmed,
    /// The visitor is not logged in. The cart stays unchanged.
    NotLoggedIn,
    /// The cart is empty.
    EmptyCart,
}

/// Orders the cart of a visitor who is logged in.
pub struct Orders {
    jobs: Jobs,
}

impl Orders {
    /// Jobs are queued at this URL.
    pub fn open(jobs_url: &str) -> RedisResult<Self> {
        Ok(Self { jobs: Jobs::open(jobs_url)? })
    }

    /// Orders the contents of the cart, and queues a confirmation to this address.
    pub fn place(&mut self, session: &mut Session, address: &str) -> RedisResult<Order> {
        if session.user().is_none() {
            return Ok(Order::NotLoggedIn);
        }
        let mut cart = Cart::of(session);
        let contents = cart.contents();
        if contents.is_empty() {
            return Ok(Order::EmptyCart);
        }
        cart.clear()?;
        self.jobs.enqueue("mail", "shop.send_mail", &json!([address, contents]))?;
        session.flash("Tack för din beställning!")?;
        Ok(Order::Confirmed)
    }
}
