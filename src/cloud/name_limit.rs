//! Names of AWS that contain the cluster's, where the whole would be too long.

use super::digest;

/// A name within so many characters (ASCII; nine at least); where the whole is longer, cut, with a digest of the whole at the
/// end, so that two that begin alike stay two.
pub(super) fn within(limit: usize, whole: String) -> String {
    if whole.len() <= limit {
        return whole;
    }
    let digest = digest(whole.as_bytes());
    let kept: String = whole.chars().take(limit.saturating_sub(9)).collect();
    format!("{kept}-{}", &digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_only_where_it_must_be_and_two_names_stay_two() {
        assert_eq!(within(20, "nodes.demo.example.c".to_owned()), "nodes.demo.example.c");
        let [one, two] = ["a", "b"].map(|end| within(20, format!("nodes.demo.example.com.{end}")));
        assert_eq!((one.len(), two.len()), (20, 20));
        assert!(one.starts_with("nodes.demo.") && one != two, "{one} {two}");
    }
}
