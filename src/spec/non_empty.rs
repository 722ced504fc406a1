//! Lists of at least one, so that nobody has to say what becomes of none.

use std::iter;
use std::slice;

use serde::{Serialize, Serializer};

/// A list of at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonEmpty<T> {
    first: T,
    rest: Vec<T>,
}

impl<T> NonEmpty<T> {
    /// The items in their order; `None` where there are none.
    pub fn of(items: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut items = items.into_iter();
        Some(Self { first: items.next()?, rest: items.collect() })
    }

    /// The first.
    pub fn first(&self) -> &T {
        &self.first
    }

    /// The first, to change it.
    pub fn first_mut(&mut self) -> &mut T {
        &mut self.first
    }

    /// All.
    pub fn iter(&self) -> iter::Chain<iter::Once<&T>, slice::Iter<'_, T>> {
        iter::once(&self.first).chain(&self.rest)
    }

    /// The same of what refers to them.
    pub fn as_ref(&self) -> NonEmpty<&T> {
        NonEmpty { first: &self.first, rest: self.rest.iter().collect() }
    }

    /// The same with the first item for which this holds before the others, whose order stays.
    #[must_use]
    pub fn first_by(mut self, is_first: impl FnMut(&T) -> bool) -> Self {
        if let Some(index) = self.iter().position(is_first)
            && index > 0
        {
            let first = self.rest.remove(index - 1);
            self.rest.insert(0, std::mem::replace(&mut self.first, first));
        }
        self
    }

    /// All, each with its index, turned into something else.
    pub fn map<U>(self, mut change: impl FnMut(usize, T) -> U) -> NonEmpty<U> {
        let first = change(0, self.first);
        let rest = (1..).zip(self.rest).map(|(index, item)| change(index, item)).collect();
        NonEmpty { first, rest }
    }
}

impl<T, E> NonEmpty<Result<T, E>> {
    /// All values, or the first error.
    pub fn transpose(self) -> Result<NonEmpty<T>, E> {
        Ok(NonEmpty { first: self.first?, rest: self.rest.into_iter().collect::<Result<_, E>>()? })
    }
}

impl<T> From<T> for NonEmpty<T> {
    fn from(first: T) -> Self {
        Self { first, rest: Vec::new() }
    }
}

impl<'a, T> IntoIterator for &'a NonEmpty<T> {
    type Item = &'a T;
    type IntoIter = iter::Chain<iter::Once<&'a T>, slice::Iter<'a, T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Serialize> Serialize for NonEmpty<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_makes_no_such_list_and_the_order_stays() {
        assert_eq!(NonEmpty::of(Vec::<u8>::new()), None);
        let list = NonEmpty::of(["a", "b", "c"]).unwrap();
        assert_eq!(*list.first(), "a");
        let numbered = list.map(|index, item| format!("{item}{index}"));
        assert_eq!(numbered.iter().collect::<Vec<_>>(), ["a0", "b1", "c2"]);
        assert_eq!(serde_json::to_value(&numbered).unwrap(), serde_json::json!(["a0", "b1", "c2"]));
        for (first, order) in
            [("a0", ["a0", "b1", "c2"]), ("c2", ["c2", "a0", "b1"]), ("d", ["a0", "b1", "c2"])]
        {
            let moved = numbered.clone().first_by(|item| item == first);
            assert_eq!(moved.iter().collect::<Vec<_>>(), order);
        }
    }
}
