//! What several tests need.

pub(crate) mod desired;
pub(crate) mod fixture;
pub(crate) mod operator;
pub(crate) mod region;
pub(crate) mod sample;
pub(crate) mod user;
