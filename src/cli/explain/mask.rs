//! Requests to networks without the secrets in them.
//!
//! A secret is always a whole text of the configuration, so it is replaced before anything is rendered
//! and need not be searched for in what comes out.

use std::collections::BTreeMap;

use crate::tracking::{
    event::{Datum, Event},
    postback::{Authorization, BodyRule, JsonRule, PostbackRule, RequestRule, SignPlace, UrlRule},
    template::Template,
};

/// The texts that are not shown.
pub(in crate::cli) struct Mask(Vec<String>);

impl Mask {
    pub(in crate::cli) fn new(secrets: Vec<String>) -> Self {
        Self(secrets)
    }

    /// The rule with stars in place of secrets.
    pub(super) fn rule(&self, rule: &PostbackRule) -> PostbackRule {
        let mut masked = rule.clone();
        masked.names.settings.values_mut().for_each(|text| self.text(text));
        masked.names.parameters.values_mut().for_each(|template| self.template(template));
        masked.names.lists.values_mut().flatten().for_each(|template| self.template(template));
        let RequestRule { url, query, headers, authorization, body, sign, .. } = &mut masked.request;
        self.url(url);
        query.iter_mut().for_each(|(_, template)| self.template(template));
        headers.iter_mut().for_each(|(_, template)| self.template(template));
        match authorization {
            Authorization::None => {}
            Authorization::Basic { user, password } => {
                self.template(user);
                *password = Template::literal(STARS);
            }
            Authorization::Bearer(token) => *token = Template::literal(STARS),
        }
        match body {
            BodyRule::Empty => {}
            BodyRule::Json(rule) => self.json(rule),
            BodyRule::Form(pairs) => pairs.iter_mut().for_each(|(_, template)| self.template(template)),
            BodyRule::Text(template) => self.template(template),
        }
        // Made without its secrets, it would be another one.
        match (sign.take().map(|sign| sign.place), body) {
            (Some(SignPlace::Query(name)), _) => query.push((name, Template::literal(STARS))),
            (Some(SignPlace::Header(name)), _) => headers.push((name, Template::literal(STARS))),
            (Some(SignPlace::Form(name)), BodyRule::Form(pairs)) => pairs.push((name, Template::literal(STARS))),
            (Some(SignPlace::Form(_)) | None, _) => {}
        }
        masked
    }

    /// The event with stars in place of secrets that stand in for a value.
    pub(super) fn event(&self, event: &Event) -> Event {
        let mut masked = event.clone();
        masked.payload.fields.values_mut().for_each(|text| self.text(text));
        self.parameters(&mut masked.payload.parameters);
        masked
    }

    fn parameters(&self, parameters: &mut BTreeMap<String, Datum>) {
        for datum in parameters.values_mut() {
            match datum {
                Datum::One(text) => self.text(text),
                Datum::Many(texts) => texts.iter_mut().for_each(|text| self.text(text)),
            }
        }
    }

    fn text(&self, text: &mut String) {
        if self.hides(text) {
            STARS.clone_into(text);
        }
    }

    fn template(&self, template: &mut Template) {
        if template.as_literal().is_some_and(|text| self.hides(text)) {
            *template = Template::literal(STARS);
        }
    }

    /// An address is read in parts, so a part is known by the whole it comes from.
    fn url(&self, url: &mut UrlRule) {
        let origin = url.origin.as_literal().unwrap_or_default();
        if !origin.is_empty() && self.0.iter().any(|secret| secret.starts_with(origin)) {
            url.path = Template::literal(format!("/{STARS}"));
            url.query = url.query.as_ref().map(|_| STARS.to_owned());
        }
    }

    fn json(&self, rule: &mut JsonRule) {
        match rule {
            JsonRule::Text(template) => self.template(template),
            JsonRule::Event(event) => self.json(event),
            JsonRule::List(items) => items.iter_mut().for_each(|item| self.json(item)),
            JsonRule::Object(members) => members.iter_mut().for_each(|(_, member)| self.json(member)),
        }
    }

    fn hides(&self, text: &str) -> bool {
        self.0.iter().any(|secret| secret == text.trim())
    }
}

/// Stays as it is in addresses, forms and JSON.
pub(super) const STARS: &str = "***";
