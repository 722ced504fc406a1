//! So many of something, in words: messages say "1 instance" and "2 instances".

use std::fmt::Display;

/// A number and what it counts, which is named in the singular and takes an `s` for more.
pub fn quantity<N: Copy + Display + PartialEq + From<u8>>(count: N, one: &str) -> String {
    let ending = if count == N::from(1) { "" } else { "s" };
    format!("{count} {one}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_named_in_the_singular_and_all_else_in_the_plural() {
        assert_eq!(quantity(0_usize, "instance"), "0 instances");
        assert_eq!(quantity(1_i64, "minute"), "1 minute");
        assert_eq!(quantity(12_u32, "step"), "12 steps");
    }
}
