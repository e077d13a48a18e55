//! Orders, which a worker confirms by mail.

use redis::RedisResult;
use serde_json::json;

use crate::jobs::Jobs;
use crate::{Cart, Session};

/// What came of an order.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// The mail is on its way, and the cart is empty.
    Confirmed,
    /// Nobody is logged in. The cart stays as it is.
    NotLoggedIn,
    /// There is nothing to order.
    EmptyCart,
}

/// Orders: what is in the cart of a visitor who is logged in.
pub struct Orders {
    jobs: Jobs,
}

impl Orders {
    /// Jobs are queued at that URL.
    pub fn open(jobs_url: &str) -> RedisResult<Self> {
        Ok(Self { jobs: Jobs::open(jobs_url)? })
    }

    /// Orders what is in the cart, and has the confirmation sent to that address.
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
