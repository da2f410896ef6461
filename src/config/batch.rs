//! Decoding of `batch`: how a network takes several events in one request.

use super::{decode::Field, request::json_templates, tree::Kind};
use crate::tracking::{
    postback::{BatchRule, BodyRule, JsonRule, RequestRule},
    template::Template,
    verdict::FailedList,
};

/// Reads the map under `batch`, or `none`; in the request, the list with the event becomes known as such.
pub fn batch(field: &Field<'_>, request: Option<&mut RequestRule>) -> Option<BatchRule> {
    if matches!(&field.node.kind, Kind::Scalar(scalar) if scalar.text == "none") {
        return None;
    }
    let mut section = field.section()?;
    let at = section.require("at", "name the list in the postback's `json` that holds the event: `at: /events`");
    let max = section.get("max").map_or(Some(DEFAULT_EVENTS), |field| field.number_within(2..=MOST_EVENTS));
    let max_size =
        section.get("max_size").map_or(Some(DEFAULT_BYTES), |field| field.size_within(LEAST_BYTES..=MOST_BYTES));
    let failed = section.get("failed").map(|field| failed(&field));
    section.finish();
    let place = at?;
    let at = pointer(&place)?;
    if let Some(request) = request {
        mark_event(&place, &at, failed.is_some(), request)?;
    }
    Some(BatchRule {
        at,
        max: usize::try_from(max?).ok()?,
        max_bytes: usize::try_from(max_size?).ok()?,
        failed: match failed {
            Some(failed) => Some(failed?),
            None => None,
        },
    })
}

fn failed(field: &Field<'_>) -> Option<FailedList> {
    let mut section = field.section()?;
    let list = section.require("list", "name the list of failed events in the answer: `list: /errors`");
    let id = section.require("id", "name the event id in one element of that list: `id: /event_id`");
    let code = section.get("code");
    let retry = section.get("retry");
    if let (None, Some(retry)) = (&code, &retry) {
        retry.key_error(
            "`retry` lists codes, and nothing says where they stand",
            "write `code: /error/code`".to_owned(),
        );
    }
    section.finish();
    let codes = retry.map(|field| field.one_or_many()).unwrap_or_default();
    Some(FailedList {
        list: pointer(&list?)?,
        id: pointer(&id?)?,
        code: match code {
            Some(code) => Some(pointer(&code)?),
            None => None,
        },
        retry: codes.iter().filter_map(|code| code.text().map(ToOwned::to_owned)).collect(),
    })
}

fn pointer(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if !text.starts_with('/') {
        field.error(format!("`{text}` is not a JSON pointer"), "a pointer begins with `/` (RFC 6901)".to_owned());
        return None;
    }
    Some(text.to_owned())
}

/// Finds the list of events in the request, and what would keep events from ever sharing one.
fn mark_event(at: &Field<'_>, pointer: &str, is_matched: bool, request: &mut RequestRule) -> Option<()> {
    let BodyRule::Json(document) = &mut request.body else {
        at.error(
            "the postback has no `json` that this could lead into",
            "write `json:` under `postback`, or `batch: none`".to_owned(),
        );
        return None;
    };
    let found = find(document, pointer).and_then(|list| match list {
        JsonRule::List(items) if items.len() == 1 => items.pop().map(|event| (event, list)),
        JsonRule::Text(_) | JsonRule::List(_) | JsonRule::Event(_) | JsonRule::Object(_) => None,
    });
    let Some((event, list)) = found else {
        at.error(
            format!("`{pointer}` does not lead to a list of one element in the postback's `json`"),
            "write the event as the only element of a list, such as `events: [{ id: \"{event_id}\" }]`, or `batch: none`"
                .to_owned(),
        );
        return None;
    };
    let mut inside = Vec::new();
    json_templates(&event, &mut inside);
    let is_named = Template::parse("{event_id}").is_ok_and(|id| inside.contains(&&id));
    *list = JsonRule::Event(Box::new(event));
    if is_matched && !is_named {
        at.error(
            format!("the event in `{pointer}` has no member that is `{{event_id}}` and nothing else"),
            "add one, such as `id: \"{event_id}\"`: the network names failed events by it".to_owned(),
        );
    }
    let outside = request.templates_around_the_event();
    let names = outside.into_iter().flat_map(Template::slots).map(|slot| slot.name.as_str());
    if let Some(name) = names.into_iter().find(|name| OF_ONE_EVENT.contains(name)) {
        at.error(
            format!("no two events could share a request, because `{{{name}}}` stands outside of `{pointer}`"),
            "move it into the event, or write `batch: none`".to_owned(),
        );
    }
    Some(())
}

/// What a JSON pointer leads to.
fn find<'a>(rule: &'a mut JsonRule, pointer: &str) -> Option<&'a mut JsonRule> {
    let Some((token, rest)) = pointer.strip_prefix('/').map(|path| path.split_at(path.find('/').unwrap_or(path.len())))
    else {
        return Some(rule);
    };
    let name = token.replace("~1", "/").replace("~0", "~");
    let next = match rule {
        JsonRule::Object(members) => members.iter_mut().find(|(member, _)| *member == name).map(|(_, rule)| rule),
        JsonRule::List(items) => name.parse().ok().and_then(|index: usize| items.get_mut(index)),
        JsonRule::Text(_) | JsonRule::Event(_) => None,
    };
    find(next?, rest)
}

/// Names that stand for something else in each event.
const OF_ONE_EVENT: [&str; 6] = ["event_id", "event_time", "event_ms", "click_id", "click_ids", "order_id"];
/// As many as wait in memory for one network.
const MOST_EVENTS: u32 = 256;
const DEFAULT_EVENTS: u32 = 100;
const LEAST_BYTES: u64 = 1 << 10;
const MOST_BYTES: u64 = 16 << 20;
const DEFAULT_BYTES: u64 = 1_000_000;
