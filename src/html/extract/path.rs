//! Paths into structured data: `ecommerce.items[0].price`.

use std::{fmt, str::FromStr};

use serde_json::Value;

/// A place in nested objects and arrays.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    steps: Vec<Step>,
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// Nothing stands before, between or behind the dots.
    #[error("a name is missing: a path is names with dots between them, such as `ecommerce.items[0].price`")]
    MissingName,
    /// Brackets that don't hold a number.
    #[error("brackets hold the number of an element, such as `items[0]`")]
    NotANumber,
    /// More steps than are ever followed.
    #[error("a path has at most 32 steps")]
    TooLong,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    Member(String),
    Element(usize),
}

impl Path {
    /// What stands there, `null` included.
    ///
    /// What should be an array may be its only element: JSON-LD leaves the brackets out, so `[0]` of
    /// anything else is the thing itself. `items.0` is the same as `items[0]`, as tag managers write it.
    #[must_use]
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.steps.iter().try_fold(value, |value, step| step.from(value))
    }

    /// Whether it is just this name.
    pub(super) fn is_member(&self, name: &str) -> bool {
        matches!(self.steps.as_slice(), [Step::Member(only)] if only == name)
    }
}

impl Step {
    fn from<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match (self, value) {
            (Self::Member(name), Value::Object(members)) => members.get(name),
            (Self::Member(name), Value::Array(elements)) => elements.get(name.parse::<usize>().ok()?),
            (Self::Element(index), Value::Array(elements)) => elements.get(*index),
            (Self::Element(0), _) => Some(value),
            (Self::Member(_) | Self::Element(_), _) => None,
        }
    }
}

impl FromStr for Path {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let mut steps = Vec::new();
        for (at, part) in text.trim().split('.').enumerate() {
            let (name, indices) = part.split_once('[').map_or((part, None), |(name, rest)| (name, Some(rest)));
            // A path may begin with brackets: the document itself may be an array.
            let is_nameless = name.is_empty() && at == 0 && indices.is_some();
            if !is_nameless {
                if name.trim().is_empty() || name.contains(']') {
                    return Err(if name.contains(']') { InvalidPath::NotANumber } else { InvalidPath::MissingName });
                }
                steps.push(Step::Member(name.to_owned()));
            }
            if let Some(indices) = indices {
                let indices = indices.strip_suffix(']').ok_or(InvalidPath::NotANumber)?;
                for index in indices.split("][") {
                    let is_number = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
                    let index = index.parse().ok().filter(|_| is_number).ok_or(InvalidPath::NotANumber)?;
                    steps.push(Step::Element(index));
                }
            }
            if steps.len() > MAX_STEPS {
                return Err(InvalidPath::TooLong);
            }
        }
        Ok(Self { steps })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Member(name) if at == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Element(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

const MAX_STEPS: usize = 32;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_into_objects_and_arrays() {
        let data = json!({ "a": { "b": [{ "c": 1 }, [2, 3]], "@id": "x", "one": { "d": 4 }, "none": null } });
        for (path, expected) in [
            ("a.b[0].c", Some(json!(1))),
            ("a.b[1][1]", Some(json!(3))),
            ("a.b.1.0", Some(json!(2))),
            ("a.@id", Some(json!("x"))),
            ("a.one[0].d", Some(json!(4))),
            ("a.one[1].d", None),
            ("a.b[2]", None),
            ("a.b.c", None),
            ("a.@id.x", None),
            ("a.none", Some(json!(null))),
            ("A", None),
        ] {
            let path: Path = path.parse().unwrap();
            assert_eq!(path.find(&data), expected.as_ref(), "{path}");
        }
        assert_eq!("[1].a".parse::<Path>().unwrap().find(&json!([0, { "a": 5 }])), Some(&json!(5)));
    }

    #[test]
    fn a_path_prints_as_it_was_written() {
        for text in ["a", "a.b[0].c", "a[1][2]", "[0].a", "@graph[0].orderNumber"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_path_says_why() {
        for (text, reason) in [
            ("", InvalidPath::MissingName),
            ("a..b", InvalidPath::MissingName),
            (".a", InvalidPath::MissingName),
            ("a.", InvalidPath::MissingName),
            ("a.[0]", InvalidPath::MissingName),
            ("a[]", InvalidPath::NotANumber),
            ("a[b]", InvalidPath::NotANumber),
            ("a[0", InvalidPath::NotANumber),
            ("a[+1]", InvalidPath::NotANumber),
            ("a]0[", InvalidPath::NotANumber),
            ("a[0]b", InvalidPath::NotANumber),
        ] {
            assert_eq!(text.parse::<Path>(), Err(reason), "{text}");
        }
        assert_eq!(vec!["a"; 33].join(".").parse::<Path>(), Err(InvalidPath::TooLong));
    }
}
