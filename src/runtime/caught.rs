//! Turns a panic into a value: its text, and a future that ends with it instead of unwinding further.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// What was given to `panic!`, as far as it is text.
pub(crate) fn text(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload
            .downcast_ref::<&str>()
            .map_or_else(|| "panic without text".to_owned(), |text| (*text).to_owned()),
    }
}

/// Runs `f`; a panic in it becomes `Err(text)`.
///
/// Callers must not look at anything that `f` may have left half changed.
pub(crate) fn call<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(text)
}

/// Awaits `future`; a panic in one of its polls becomes `Err(text)`.
pub(crate) async fn future<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|cx| match call(|| future.as_mut().poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_text_of_a_panic() {
        assert_eq!(call(|| 3), Ok(3));
        assert_eq!(call(|| panic!("plain")), Err::<(), _>("plain".to_owned()));
        let n = 7;
        assert_eq!(call(|| panic!("formatted {n}")), Err::<(), _>("formatted 7".to_owned()));
        assert_eq!(call(|| std::panic::panic_any(7_u8)), Err::<(), _>("panic without text".to_owned()));
    }
}
