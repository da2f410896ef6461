//! What rules read of the path of a request, for whoever shows it: a part of it may be a person's.

use super::Visit;
use crate::tracking::value::{Source, Value};

impl Visit {
    /// What its path brings, by the names of the fields that are read of it; by its own where none is.
    pub fn path_values(&self) -> impl Iterator<Item = (&str, &str)> {
        let conversions = self.hits.iter().filter_map(|hit| {
            let rule = self.site.conversions.get(hit.conversion)?;
            Some((&*rule.fields, &*hit.path))
        });
        let captures = self.captures.iter().filter_map(|passing| {
            let rule = self.site.captures.get(passing.capture)?;
            Some((&*rule.fields, &*passing.path))
        });
        conversions.chain(captures).flat_map(|(fields, path)| path.iter().flat_map(|part| named(fields, part)))
    }
}

/// A part of a path, by the names of the fields that are read of it.
fn named<'a>(fields: &'a [(String, Value)], (name, text): &'a (String, String)) -> Vec<(&'a str, &'a str)> {
    let is_read = |value: &Value| value.sources().iter().any(|it| matches!(it, Source::Path(part) if part == name));
    let named = fields.iter().filter(|(_, value)| is_read(value)).map(|(field, _)| (field.as_str(), text.as_str()));
    let named: Vec<_> = named.collect();
    if named.is_empty() { vec![(name, text)] } else { named }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_called_by_every_field_that_it_is_read_for() {
        let path = |name: &str| Value::Source(Source::Path(name.to_owned()), None);
        let fields = [("order_id", "order"), ("email", "who"), ("name", "who")];
        let fields = fields.map(|(field, part)| (field.to_owned(), path(part)));
        for (part, names) in [("order", &["order_id"][..]), ("who", &["email", "name"]), ("lang", &["lang"])] {
            let part = (part.to_owned(), "text".to_owned());
            let expected: Vec<_> = names.iter().map(|name| (*name, "text")).collect();
            assert_eq!(named(&fields, &part), expected);
        }
    }
}
