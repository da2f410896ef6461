//! Decoding of a network's request: address, query, headers, body.

use http::{HeaderName, Method, header};
use url::Url;

use super::{
    decode::{Field, Section},
    tree::{Kind, Origin},
    value::{template, template_of},
};
use crate::tracking::{
    postback::{BodyRule, ExtraPlace, JsonRule, RequestRule, UrlRule},
    template::Template,
};

mod credentials;
pub(super) mod signature;

use credentials::authorization;
pub use credentials::secret_template;
use signature::signature;

/// Reads the map under `postback`. `hosts` are the settings that may stand in the host.
pub fn request(field: &Field<'_>, hosts: &[&str]) -> Option<RequestRule> {
    let mut section = field.section()?;
    let method = section.get("method").and_then(|field| field.choice(&METHODS)).unwrap_or(Verb::Get);
    let url = section
        .require("url", "write the address that the network gave you: `url: https://…`")
        .and_then(|field| url(&field, hosts));
    let query = section.get("query").map(|field| pairs(&field)).unwrap_or_default();
    let headers = section.get("headers").map(|field| headers(&field)).unwrap_or_default();
    let authorization = authorization(&mut section, &headers);
    let body = body(&mut section);
    let sign_field = section.get("sign");
    let sign = sign_field.as_ref().and_then(|field| signature(field, &body));
    let extra = section.get("extra").and_then(|field| extra_place(&field)).unwrap_or_default();
    if method == Verb::Get && !matches!(body, BodyRule::Empty) {
        section.field().error("a GET has no body", Some("write `method: POST`".to_owned()));
    }
    section.finish();
    let method = match method {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
    };
    Some(RequestRule { method, url: url?, query, headers, authorization, body, extra, sign })
}

/// The methods of requests to networks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
}

pub(super) const METHODS: [(&str, Verb); 2] = [("GET", Verb::Get), ("POST", Verb::Post)];

/// Reads an address. Scheme, host and port are fixed here for good: nothing of a request gets there.
pub fn url(field: &Field<'_>, hosts: &[&str]) -> Option<UrlRule> {
    let text = field.text()?;
    let wrong = |message: String, remedy: &str| {
        field.error(message, Some(remedy.to_owned()));
        None
    };
    let Some((scheme, after)) = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) else {
        return wrong(format!("`{text}` is not an http or https address"), "write it whole: https://HOST/PATH");
    };
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, rest) = after.split_at_checked(end)?;
    let origin = template(field, &format!("{scheme}://{authority}"))?;
    for slot in origin.slots() {
        if !hosts.contains(&slot.name.as_str()) {
            return wrong(
                format!("`{{{}}}` may not stand in scheme, host or port", slot.name),
                "only settings that the network's file marks `host: true` may",
            );
        }
    }
    let sample = authority.replace(['{', '}'], "").replace('_', "-");
    let host_is_plain = Url::parse(&format!("{scheme}://{sample}/")).is_ok_and(|url| url.username().is_empty());
    if !host_is_plain || authority.contains('@') {
        // Credentials must not be repeated.
        let (remedy, shown) = match authority.rsplit_once('@') {
            Some((_, host)) => ("write credentials under `basic`", format!("`…@{host}`")),
            None => ("write a name or an address, and a port if need be", format!("`{authority}`")),
        };
        return wrong(format!("{shown} is not a host"), remedy);
    }
    if rest.contains('#') {
        return wrong("an address that is called has no `#`".to_owned(), "write `%23` for the character itself");
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if query.is_some_and(|query| query.contains('{')) {
        return wrong("the query of an address takes no templates".to_owned(), "write them under `query:`");
    }
    let path = if path.is_empty() { Template::literal("/") } else { template(field, path)? };
    let path = if field.scalar()?.origin == Origin::Written { path } else { path.hidden() };
    Some(UrlRule { origin, path, query: query.filter(|query| !query.is_empty()).map(ToOwned::to_owned) })
}

/// Reads names and templates in their order.
pub fn pairs(field: &Field<'_>) -> Vec<(String, Template)> {
    let entries = field.entries().unwrap_or_default();
    entries
        .into_iter()
        .filter(|(_, field)| !field.node.is_null())
        .filter_map(|(name, field)| Some((name.to_owned(), template_of(&field)?)))
        .collect()
}

fn headers(field: &Field<'_>) -> Vec<(HeaderName, Template)> {
    let entries = field.entries().unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|(name, field)| match HeaderName::try_from(name) {
            Ok(header) if header == header::AUTHORIZATION => Some((header, secret_template(&field)?)),
            Ok(header) => Some((header, template_of(&field)?)),
            Err(_) => {
                field.error(format!("`{name}` is not the name of a header"), None);
                None
            }
        })
        .collect()
}

fn body(section: &mut Section<'_>) -> BodyRule {
    let json = section.get("json").and_then(|field| json(&field)).map(BodyRule::Json);
    let form = section.get("form").map(|field| BodyRule::Form(pairs(&field)));
    let text = section.get("body").and_then(|field| template_of(&field)).map(BodyRule::Text);
    let mut bodies = [json, form, text].into_iter().flatten();
    let body = bodies.next().unwrap_or_default();
    if bodies.next().is_some() {
        section.field().error("a request has one body", Some("write one of `json`, `form` and `body`".to_owned()));
    }
    body
}

fn json(field: &Field<'_>) -> Option<JsonRule> {
    match &field.node.kind {
        Kind::Scalar(_) => template_of(field).map(JsonRule::Text),
        Kind::List(_) => Some(JsonRule::List(field.list()?.iter().filter_map(json).collect())),
        Kind::Map(_) => {
            let members = field.entries()?;
            Some(JsonRule::Object(
                members.into_iter().filter_map(|(name, field)| Some((name.to_owned(), json(&field)?))).collect(),
            ))
        }
    }
}

fn extra_place(field: &Field<'_>) -> Option<ExtraPlace> {
    match field.text()? {
        "query" => Some(ExtraPlace::Query),
        "form" => Some(ExtraPlace::Form),
        text => {
            let pointer = text.strip_prefix("json:").map(|pointer| ExtraPlace::Json(pointer.to_owned()));
            if pointer.is_none() {
                let remedy = "write `query`, `form` or `json:POINTER`".to_owned();
                field.error(format!("`{text}` is no place for further parameters"), Some(remedy));
            }
            pointer
        }
    }
}

impl RequestRule {
    /// All templates of the request, to see which names they use.
    pub(super) fn templates(&self) -> Vec<&Template> {
        let mut all = self.templates_outside_the_body();
        match &self.body {
            BodyRule::Empty => {}
            BodyRule::Json(rule) => json_templates(rule, &mut all),
            BodyRule::Form(pairs) => all.extend(pairs.iter().map(|(_, template)| template)),
            BodyRule::Text(template) => all.push(template),
        }
        all
    }

    /// Those that stand outside the list with the event, in a request that several events may share.
    pub(super) fn templates_around_the_event(&self) -> Vec<&Template> {
        let mut all = self.templates_outside_the_body();
        if let BodyRule::Json(rule) = &self.body {
            json_templates_around_the_event(rule, &mut all);
        }
        all
    }

    fn templates_outside_the_body(&self) -> Vec<&Template> {
        let mut all = vec![&self.url.origin, &self.url.path];
        all.extend(self.query.iter().map(|(_, template)| template));
        all.extend(self.headers.iter().map(|(_, template)| template));
        all.extend(self.authorization.templates());
        all.extend(self.sign.iter().flat_map(|sign| [Some(&sign.over), sign.key.as_ref()]).flatten());
        all
    }
}

/// All templates of a document.
pub(super) fn json_templates<'a>(rule: &'a JsonRule, all: &mut Vec<&'a Template>) {
    match rule {
        JsonRule::Text(template) => all.push(template),
        JsonRule::Event(event) => json_templates(event, all),
        JsonRule::List(items) => items.iter().for_each(|item| json_templates(item, all)),
        JsonRule::Object(members) => members.iter().for_each(|(_, member)| json_templates(member, all)),
    }
}

fn json_templates_around_the_event<'a>(rule: &'a JsonRule, all: &mut Vec<&'a Template>) {
    match rule {
        JsonRule::Text(template) => all.push(template),
        JsonRule::Event(_) => {}
        JsonRule::List(items) => items.iter().for_each(|item| json_templates_around_the_event(item, all)),
        JsonRule::Object(members) => {
            members.iter().for_each(|(_, member)| json_templates_around_the_event(member, all));
        }
    }
}
