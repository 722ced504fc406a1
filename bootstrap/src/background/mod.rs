//! What goes on after the boot, for as long as the instance lives, whatever it is: how it is repeated, what follows from
//! an error, and when the report says that it fails.
//!
//! A task's name, its period and its work are in the file of its concern, as a `const TASK` and a function; `boot.rs`
//! starts it. This room uses [`progress`](crate::progress) only.

pub mod every;
pub mod lasting;
pub mod tasks;
