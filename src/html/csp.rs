//! The Content-Security-Policy of a passing page.

/// What is done about a page's own policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CspMode {
    /// The hosts that injected pixels need are added to it.
    #[default]
    Amend,
    /// It stays as it is; pixels that it forbids are not injected.
    Respect,
}
