//! What tests share. Only tests import it.

pub mod test_db;
