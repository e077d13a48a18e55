//! Orders, which a worker confirms by mail.

use redis::RedisResult;
use serde_json::{Value, json};

use crate::cart::CART;
use crate::jobs::Jobs;
use crate::{Cart, Session};

/// The order that is being placed, in the session: the id of its job, and its contents.
const ORDER: &str = "order";

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

    /// Orders the contents of the cart, and queues a confirmation to this address. After an error, it can be called
    /// again: an order that was interrupted is completed, with one confirmation.
    pub fn place(&mut self, session: &mut Session, address: &str) -> RedisResult<Order> {
        if session.user().is_none() {
            return Ok(Order::NotLoggedIn);
        }
        let order = match session.get(ORDER) {
            Some(interrupted) => interrupted.clone(),
            None => {
                let contents = Cart::of(session).contents();
                if contents.is_empty() {
                    return Ok(Order::EmptyCart);
                }
                let order = json!({"id": self.jobs.new_id()?, "contents": contents});
                session.set([(CART, json!({})), (ORDER, order.clone())])?;
                order
            }
        };
        let id = order["id"].as_str().unwrap_or_default();
        self.jobs.enqueue_once(id, "mail", "shop.send_mail", &json!([address, order["contents"]]))?;
        session.flash_and_set("Tack för din beställning!", [(ORDER, Value::Null)])?;
        Ok(Order::Confirmed)
    }
}
