//! Orders, which a worker confirms by mail.

use redis::RedisResult;
use serde_json::{Map, Value, json};

use crate::jobs::Jobs;
use crate::session::add_message;
use crate::{Cart, Session, cart};

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
    /// again: an order that was interrupted is completed, with one confirmation. Two requests at once complete the same
    /// order.
    pub fn place(&mut self, session: &mut Session, address: &str) -> RedisResult<Order> {
        if session.user().is_none() {
            return Ok(Order::NotLoggedIn);
        }
        if session.get(ORDER).is_none() && Cart::of(session).contents().is_empty() {
            return Ok(Order::EmptyCart);
        }
        let id = self.jobs.new_id()?;
        let Some(order) = session.change(|values| begin(values, &id))? else { return Ok(Order::EmptyCart) };
        let id = order["id"].as_str().unwrap_or_default();
        self.jobs.enqueue_once(id, "mail", "shop.send_mail", &json!([address, order["contents"]]))?;
        session.change(|values| {
            // Another request may have completed this order, and then begun the next one.
            if values.get(ORDER) == Some(&order) {
                values.remove(ORDER);
                add_message(values, "Tack för din beställning!");
            }
        })?;
        Ok(Order::Confirmed)
    }
}

/// Makes an order of the cart in the values of a session, unless there is an order that another request has begun.
fn begin(values: &mut Map<String, Value>, id: &str) -> Option<Value> {
    if let Some(begun) = values.get(ORDER) {
        return Some(begun.clone());
    }
    let contents = cart::take(values);
    if contents.is_empty() {
        return None;
    }
    let order = json!({"id": id, "contents": contents});
    values.insert(ORDER.to_owned(), order.clone());
    Some(order)
}
