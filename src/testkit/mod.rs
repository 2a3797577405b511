//! What tests share. Only tests import it.

pub mod http;
pub mod test_app;
pub mod test_db;
pub mod test_runtime;
mod wait;
pub mod ws_client;

pub use test_app::TestApp;
pub use test_db::TestDb;
pub use test_runtime::TestRuntime;
pub use wait::{wait_for, wait_until};
