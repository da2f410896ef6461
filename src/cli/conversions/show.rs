//! `throughline conversions show`: the story of an order, a click or an event.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::{Refusal, tell};
use crate::{
    cli::{Exit, complain, listing::plain, say},
    config::{Config, Environment, secrets},
    explain::{self, Mask},
    store::{
        office::Office,
        story::{Stories, Story},
    },
    tracking::timestamp::Timestamp,
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
    let Stories { told: stories, is_whole } = office.story(&show.text).map_err(|error| error.to_string())?;
    if !is_whole {
        complain(
            "not everything was looked through: the store is large, and its older rows were not reached in time;\n\
             `throughline conversions export --since 30d` reads them all",
        );
    }
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
    // What variables hold belongs to the request, if it is known here.
    let whole = Config::load(file, Environment::Process).ok();
    let environment = if whole.is_some() { Environment::Process } else { Environment::Ignored };
    let (config, mask) = (whole.as_ref().unwrap_or(config), Mask::new(secrets::secrets(file, environment)));
    for (index, story) in stories.iter().enumerate() {
        let request = story.event.as_ref().and_then(|event| explain::request(config, event, &mask));
        if show.json {
            say(&object(story, request.as_deref()).to_string());
        } else {
            let gap = if index == 0 { "" } else { "\n" };
            say(&format!("{gap}{}", tell::story(story, request.as_deref()).trim_end()));
        }
    }
    Ok(Exit::Success)
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
