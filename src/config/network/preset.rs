//! Which network's file a block starts from.

use crate::config::{
    catalogue,
    decode::Field,
    problem::nearest,
    tree::{Kind, Node},
};

/// The network's file to start from.
#[derive(Clone, Copy)]
pub(super) enum Preset {
    /// One that comes with Throughline.
    Known(&'static str),
    /// None: a network of the site's own.
    None,
}

/// Finds the file: `preset`, else the one with the key's name.
pub(super) fn preset_of(
    key: &str,
    field: &Field<'_>,
    written: &[(&str, Field<'_>)],
    accounts: Option<&Node>,
) -> Option<Preset> {
    let names = || catalogue::NETWORKS.iter().map(|(name, _)| *name);
    if let Some((_, preset)) = written.iter().find(|(name, _)| *name == "preset") {
        let name = preset.text()?;
        let known = catalogue::known(name);
        if known.is_none() {
            let near = nearest(name, names()).map(|near| format!("did you mean `{near}`? "));
            let all = names().collect::<Vec<_>>().join(", ");
            preset.error(
                format!("there is no preset `{name}`"),
                Some(format!("{}presets: {all}", near.unwrap_or_default())),
            );
        }
        return known.map(Preset::Known);
    }
    if let Some(known) = catalogue::known(key) {
        return Some(Preset::Known(known));
    }
    if written.iter().any(|(name, _)| *name == "postback") {
        return Some(Preset::None);
    }
    let accounts = match accounts.map(|accounts| &accounts.kind) {
        Some(Kind::Map(accounts)) => accounts.as_slice(),
        Some(Kind::Scalar(_) | Kind::List(_)) | None => &[],
    };
    // An account that is no map has been noted.
    let accounts = || accounts.iter().filter(|account| matches!(account.value.kind, Kind::Map(_)));
    let known = || accounts().map(|account| account.key.as_str()).chain(names());
    let hint = nearest(key, known()).map_or_else(
        || format!("known networks: {}.", known().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    field.key_error(
        format!("there is no network `{key}`"),
        Some(format!(
            "{hint} For another account write `preset: NAME`, for a network of your own `postback: {{ url: … }}`"
        )),
    );
    None
}
