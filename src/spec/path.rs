//! Paths of fields: `spec.subnets[1].cidr`, `spec.cloudLabels["team.example.com/name"]`, `spec.subnets[*].zone`.

use thiserror::Error;

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A field, or a key of a map.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
    /// Every item of a list.
    All,
}

/// Why a text is no path.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// Two dots follow each other, or the path begins or ends with one.
    #[error("`{0}` has an empty field name")]
    Empty(String),
    /// A bracket is not closed.
    #[error("`{0}` has a bracket that is not closed")]
    Unclosed(String),
    /// What stands in brackets is neither a number nor a text nor `*`.
    #[error("`[{index}]` in `{path}` is neither a number, nor `*`, nor a text in quotes")]
    Index {
        /// The text that was to be a path.
        path: String,
        /// What stands in the brackets.
        index: String,
    },
}

/// Takes a path apart.
pub fn steps(path: &str) -> Result<Vec<Segment>, PathError> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(bracket) = rest.strip_prefix('[') {
            let (step, after) = bracketed(bracket, path)?;
            steps.push(step);
            rest = after;
            continue;
        }
        let name = match rest.strip_prefix('.') {
            Some(name) if !steps.is_empty() => name,
            Some(_) => return Err(PathError::Empty(path.to_owned())),
            None => rest,
        };
        let end = name.find(['.', '[']).unwrap_or(name.len());
        if end == 0 {
            return Err(PathError::Empty(path.to_owned()));
        }
        steps.push(Segment::Key(name[..end].to_owned()));
        rest = &name[end..];
    }
    Ok(steps)
}

fn bracketed<'a>(bracket: &'a str, path: &str) -> Result<(Segment, &'a str), PathError> {
    if bracket.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(bracket).into_iter::<String>();
        let key = values.next().and_then(Result::ok);
        let after = bracket.get(values.byte_offset()..).and_then(|after| after.strip_prefix(']'));
        return match (key, after) {
            (Some(key), Some(after)) => Ok((Segment::Key(key), after)),
            _ => Err(PathError::Unclosed(path.to_owned())),
        };
    }
    let Some((index, after)) = bracket.split_once(']') else {
        return Err(PathError::Unclosed(path.to_owned()));
    };
    let step = match index {
        "*" => Segment::All,
        index => Segment::Index(
            index.parse().map_err(|_| PathError::Index { path: path.to_owned(), index: index.to_owned() })?,
        ),
    };
    Ok((step, after))
}
