//! Measurements only: `cargo bench`.
