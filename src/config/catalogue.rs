//! The networks that come with Throughline: `conf/networks/*.yaml`, embedded in the binary.

use super::{problem::Problems, tree::Node};

/// All networks by name, sorted.
pub const NETWORKS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/networks.rs"));

/// The text of a network's file.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    NETWORKS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The name of a network, if there is one.
#[must_use]
pub fn known(name: &str) -> Option<&'static str> {
    NETWORKS.iter().find(|(known, _)| *known == name).map(|(known, _)| *known)
}

/// A network's file as a tree; its places name the embedded file.
#[must_use]
pub fn tree(name: &str, problems: &Problems) -> Option<Node> {
    Node::parse(&format!("networks/{name}.yaml"), text(name)?, problems)
}
