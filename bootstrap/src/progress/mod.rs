//! How a piece of work is tried, repeated and reported: steps with their limits, which errors are worth another try, and who
//! hears about it.
//!
//! It uses the [`contract`](crate::contract) only, whose report it fills in.

pub mod notify;
pub mod reporter;
pub mod retry;
pub mod step;
