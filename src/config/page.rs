//! Whether a page can be searched for what is asked of it: selectors, paths, marks.

use super::source::Note;
use crate::{
    html::extract::{self, InvalidPath, PageField, PageRule},
    tracking::{conversion::Mark, value::PageSource},
};

/// Whether a page can be searched for a field.
pub fn is_readable(place: &PageSource, note: Note<'_>) -> bool {
    match field(place) {
        Ok(field) => is_rule(vec![field], vec![], note),
        Err(invalid) => {
            note(format!("`{}`: {invalid}", place.text()), None);
            false
        }
    }
}

/// Whether a page can be searched for a mark.
pub fn is_findable(mark: &Mark, note: Note<'_>) -> bool {
    let mark = match mark {
        Mark::Text(text) => extract::Mark::Text(text.clone()),
        Mark::Html(css) => extract::Mark::Html(css.clone()),
    };
    is_rule(vec![], vec![mark], note)
}

fn field(place: &PageSource) -> Result<PageField, InvalidPath> {
    Ok(match place {
        PageSource::Html { css, attribute } => PageField::Html { css: css.clone(), attribute: attribute.clone() },
        PageSource::JsonLd(path) => PageField::JsonLd(path.parse()?),
        PageSource::DataLayer(path) => PageField::DataLayer(path.parse()?),
    })
}

fn is_rule(fields: Vec<PageField>, marks: Vec<extract::Mark>, note: Note<'_>) -> bool {
    let rule = PageRule::new(fields, marks);
    if let Err(invalid) = &rule {
        note(format!("no page can be searched for `{}`: {}", invalid.selector, invalid.reason), None);
    }
    rule.is_ok()
}
