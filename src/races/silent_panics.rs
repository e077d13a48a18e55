//! Panics of clients and checks are part of a report, and not printed by themselves.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::macro_support::message;

thread_local! {
    static IS_SILENT: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the closure. If it panics, returns its message with its place, and the panic itself.
pub(super) fn catch_silently<T>(run: impl FnOnce() -> T) -> Result<T, (String, Box<dyn std::any::Any + Send>)> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_SILENT.get() {
                PLACE.set(info.location().map(ToString::to_string).unwrap_or_default());
            } else {
                previous(info);
            }
        }));
    });
    let was_silent = IS_SILENT.replace(true);
    PLACE.take();
    let result = catch_unwind(AssertUnwindSafe(run));
    IS_SILENT.set(was_silent);
    result.map_err(|panic| {
        let place = PLACE.take();
        let text = message(&*panic);
        (if place.is_empty() { text.to_owned() } else { format!("{place}: {text}") }, panic)
    })
}
