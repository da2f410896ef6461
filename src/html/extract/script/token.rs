//! What a script consists of.

/// A piece of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::html::extract) enum Token<'a> {
    /// A name or keyword.
    Name(&'a str),
    /// What stands between quotes, or in a template that holds no expression.
    Text(&'a str),
    /// A number as it is written.
    Number(&'a str),
    /// One sign that stands alone; `?.` is a dot.
    Sign(u8),
    /// `...`
    Spread,
    /// The beginning of a template up to its first expression.
    TemplateOpens,
    /// The end of such a template.
    TemplateCloses,
    /// Anything else: operators, regular expressions, what is broken.
    Other,
}
