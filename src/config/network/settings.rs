//! Decoding of `settings`: what a network's file declares, and the values that the site writes.

use std::collections::BTreeMap;

use regex::Regex;

use super::{whole_pattern, written_pattern};
use crate::config::{
    decode::Field,
    tree::{Kind, Node, Origin, Scalar},
    value,
};

/// What a network's file says of a setting.
pub(super) struct Setting {
    required: bool,
    default: Option<String>,
    secret: bool,
    host: bool,
    pattern: Option<Regex>,
}

impl Setting {
    /// Whether it is shown to nobody.
    pub(super) const fn is_secret(&self) -> bool {
        self.secret
    }

    /// Whether it may stand in the host of an address.
    pub(super) const fn is_host(&self) -> bool {
        self.host
    }
}

/// The names that a network's file declares.
pub(super) fn setting_names(base: &Node) -> Vec<String> {
    match base.entry("settings").map(|settings| &settings.kind) {
        Some(Kind::Map(entries)) => entries.iter().map(|entry| entry.key.clone()).collect(),
        Some(Kind::Scalar(_) | Kind::List(_)) | None => Vec::new(),
    }
}

/// Settings as declared, with the values that the site writes beside `click` and `postback`.
pub(super) fn settings(
    declared: Option<Field<'_>>,
    written: &[(&str, Field<'_>)],
    block: &Field<'_>,
) -> BTreeMap<String, (Setting, Option<String>)> {
    let declared = declared.and_then(|field| field.entries()).unwrap_or_default();
    declared
        .into_iter()
        .filter_map(|(name, field)| {
            let setting = setting(&field)?;
            let value = match written.iter().find(|(key, value)| key == &name && !value.node.is_null()) {
                Some((_, value)) => value_of_setting(name, &setting, value),
                None if setting.required => {
                    block.key_error(
                        format!("the setting `{name}` is missing"),
                        Some(format!("write `{name}: …` into this block")),
                    );
                    None
                }
                None => setting.default.clone(),
            };
            Some((name.to_owned(), (setting, value)))
        })
        .collect()
}

fn setting(field: &Field<'_>) -> Option<Setting> {
    let mut section = field.section()?;
    let setting = Setting {
        required: section.get("required").and_then(|field| field.switch()).unwrap_or(false),
        default: section.get("default").and_then(|field| field.text().map(ToOwned::to_owned)),
        secret: section.get("secret").and_then(|field| field.switch()).unwrap_or(false),
        host: section.get("host").and_then(|field| field.switch()).unwrap_or(false),
        pattern: section.get("pattern").and_then(|field| whole_pattern(&field)),
    };
    section.finish();
    Some(setting)
}

fn value_of_setting(name: &str, setting: &Setting, field: &Field<'_>) -> Option<String> {
    let Scalar { text, origin, .. } = value::secret(field)?;
    if setting.secret && origin == Origin::Written {
        let variable = name.to_uppercase();
        field.error(
            format!("`{name}` is a secret and must not stand here in clear text"),
            Some(format!("write `{name}: ${{{variable}}}` and set that variable, or `{name}: {{ file: PATH }}`")),
        );
        return None;
    }
    if setting.host && !is_host(&text) {
        field.error(
            format!("`{name}` must be a host name"),
            Some("write it without scheme and path: net.example.com".to_owned()),
        );
        return None;
    }
    if let Some(pattern) = &setting.pattern
        && !pattern.is_match(&text)
    {
        field.error(
            format!("`{name}` does not look as it should"),
            Some(format!("it must match `{}`", written_pattern(pattern))),
        );
        return None;
    }
    Some(text)
}

fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "443"));
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    !name.is_empty() && plain && port.parse::<u16>().is_ok()
}
