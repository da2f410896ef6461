//! How a postback proves who sends it.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::tracking::template::{Encoding, Scope, Template};

/// What stands in the header `Authorization`, where no header of that name is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Nothing.
    #[default]
    None,
    /// HTTP Basic authentication (RFC 7617).
    Basic {
        /// The user.
        user: Template,
        /// The password.
        password: Template,
    },
    /// A token (RFC 6750).
    Bearer(Template),
}

impl Authorization {
    pub(super) fn render(&self, names: &dyn Scope) -> Option<String> {
        match self {
            Self::None => None,
            Self::Basic { user, password } => {
                let user = user.render(names, Encoding::Raw).unwrap_or_default();
                let password = password.render(names, Encoding::Raw).unwrap_or_default();
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Self::Bearer(token) => Some(format!("Bearer {}", token.render(names, Encoding::Raw)?)),
        }
    }

    /// Its templates.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let (first, second) = match self {
            Self::None => (None, None),
            Self::Basic { user, password } => (Some(user), Some(password)),
            Self::Bearer(token) => (Some(token), None),
        };
        first.into_iter().chain(second)
    }
}
