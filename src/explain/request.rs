//! The request about a conversion that is stored, as the configuration in force makes it.

use super::{mask::Mask, weigh::rendered};
use crate::{
    config::Config,
    store::mask::HIDDEN,
    tracking::{event::Event, template::sha256},
};

/// Method, address and body; secrets, and personal values that are hidden in the event, are stars.
///
/// Nothing when its site, conversion or network is no longer configured.
#[must_use]
pub fn request(config: &Config, event: &Event, mask: &Mask) -> Option<String> {
    let rules = &config.sites.iter().find(|site| *site.rules.name == *event.site)?.rules;
    let network = rules.networks.iter().position(|network| network.key == event.network)?;
    let rule = rules.conversions.iter().find(|rule| rule.name == event.conversion)?;
    let send = rule.send.iter().find(|send| send.network == network)?;
    Some(match rendered(send, event, mask) {
        Ok(postback) => {
            let body = postback.body.map(|body| format!(" {body}")).unwrap_or_default();
            // A hash of stars would look like one of an address.
            format!("{} {}{body}", postback.method, postback.url).replace(&sha256(HIDDEN), HIDDEN)
        }
        Err(error) => format!("none: {error}"),
    })
}
