//! Decoding of what a request proves its sender with: `basic`, `bearer`, a header of its own.

use http::{HeaderName, header};

use crate::{
    config::{
        decode::{Field, Section},
        tree::Origin,
        value::template_of,
    },
    tracking::{postback::Authorization, template::Template},
};

/// Reads `basic` and `bearer`; of these, `oauth2` and a header `Authorization`, a request has one.
pub(super) fn authorization(section: &mut Section<'_>, headers: &[(HeaderName, Template)]) -> Authorization {
    let basic = section.get("basic");
    let bearer = section.get("bearer");
    let oauth2 = section.get("oauth2");
    let by_header = headers.iter().any(|(name, _)| name == header::AUTHORIZATION);
    let ways = [basic.is_some(), bearer.is_some(), oauth2.is_some(), by_header];
    if ways.into_iter().filter(|is_there| *is_there).count() > 1 {
        section.field().error(
            "a request has one authorization",
            "write one of `basic`, `bearer`, `oauth2` and the header Authorization".to_owned(),
        );
    }
    let basic = basic.and_then(|field| read_basic(&field));
    let bearer = bearer.and_then(|field| secret_template(&field)).map(Authorization::Bearer);
    basic.or(bearer).unwrap_or_default()
}

fn read_basic(field: &Field<'_>) -> Option<Authorization> {
    let mut section = field.section()?;
    let user = section.require("user", "write `user: \"{SETTING}\"`").and_then(|field| template_of(&field));
    let password =
        section.require("password", "write `password: \"{SETTING}\"`").and_then(|field| secret_template(&field));
    section.finish();
    Some(Authorization::Basic { user: user?, password: password? })
}

/// Reads a template that must not be all there is: credentials don't stand in a configuration.
pub fn secret_template(field: &Field<'_>) -> Option<Template> {
    let template = template_of(field)?;
    if field.scalar()?.origin == Origin::Written && template.as_literal().is_some() {
        field.error(
            "credentials must not stand here in clear text",
            "write `${NAME}`, or the `{name}` of a setting that is `secret: true`".to_owned(),
        );
        return None;
    }
    Some(template)
}
