//! `throughline conversions show`: the story of an order, a click or an event.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::{Refusal, plain, tell};
use crate::{
    cli::{
        Exit, complain,
        explain::{Mask, rendered},
        say,
    },
    config::{Config, Environment, secrets},
    store::{mask::HIDDEN, office::Office, story::Story},
    tracking::{template::sha256, timestamp::Timestamp},
};

/// Options of `conversions show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// An order id, a click ID, an event id, or the beginning of an event id
    #[arg(value_name = "ORDER|CLICK|EVENT")]
    text: String,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(file: &Path, config: &Config, office: &Office, show: &Show) -> Result<Exit, Refusal> {
    let stories = office.story(&show.text).map_err(|error| error.to_string())?;
    if stories.is_empty() {
        complain(&format!(
            "nothing is known of `{}`: no request matched a conversion (compare `path` and `method` with the real\n\
             thank-you page: `throughline explain URL`), its visitor had not agreed to be told of, tracking was off, or\n\
             it is older than `retention.history`. `throughline conversions list --since 2d` lists every hit, those of\n\
             which nothing is told included.",
            plain(&show.text)
        ));
        return Ok(Exit::Failure);
    }
    let mask = Mask::new(secrets::secrets(file, Environment::Ignored));
    for (index, story) in stories.iter().enumerate() {
        let request = request(config, story, &mask);
        if show.json {
            say(&object(story, request.as_deref()).to_string());
        } else {
            let gap = if index == 0 { "" } else { "\n" };
            say(&format!("{gap}{}", tell::story(story, request.as_deref()).trim_end()));
        }
    }
    Ok(Exit::Success)
}

/// The request as the configuration in force makes it; personal values and secrets are stars.
fn request(config: &Config, story: &Story, mask: &Mask) -> Option<String> {
    let event = story.event.as_ref()?;
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

fn object(story: &Story, request: Option<&str>) -> Value {
    let meaning = tell::meaning(story);
    let scenes = story.scenes.iter().map(|scene| {
        let mut scene_object = json!(scene);
        if let Some(members) = scene_object.as_object_mut() {
            members.insert("at".to_owned(), json!(scene.at.map(Timestamp::rfc3339)));
        }
        scene_object
    });
    json!({
        "hit": super::sheet::object(&story.hit),
        "state": story.state,
        "meaning": meaning,
        "request": request,
        "scenes": scenes.collect::<Vec<_>>(),
    })
}
