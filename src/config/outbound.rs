//! Decoding of how requests to a network leave: `tls`, `delivery.proxy`, `delivery.allow_private`, and
//! where their access tokens come from.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::{
    certificate::{self, UnusableCertificate},
    decode::Field,
    file::{self, Files},
    listen::{CertificateFiles, say_unusable},
    request::{self, secret_template},
    tree::{Kind, Origin},
    value::{self, template_of},
};
use crate::{
    delivery::{
        outbound::{Credentials, TokenRule},
        route::{Addresses, ClientIdentity, ProxyServer, Route},
    },
    tracking::{
        event::Datum,
        postback::{Authorization, RequestRule, UrlRule},
        template::{Encoding, Scope, Template},
    },
};

/// The settings of a network, by name; without a value where the site wrote none.
pub type Settings = BTreeMap<String, Option<String>>;

/// Reads the part of `delivery` that is about the way, and `tls`, over these defaults.
pub fn route(delivery: Option<&Field<'_>>, tls: Option<&Field<'_>>, defaults: &Route, files: Files<'_>) -> Route {
    let mut route = defaults.clone();
    // A `delivery` that is no map is told of by who reads the rest of it, and so are unknown keys.
    if let Some(mut section) = delivery.and_then(Field::section) {
        match section.get("allow_private").and_then(|field| field.switch()) {
            Some(true) => route.addresses = Addresses::Any,
            Some(false) => route.addresses = Addresses::Public,
            None => {}
        }
        if let Some(field) = section.get("proxy") {
            route.proxy = proxy(&field);
        }
    }
    if let Some(field) = tls {
        read_tls(field, files, &mut route);
    }
    route
}

/// Finds out a name that can only stand for this machine, and so would be refused at each attempt.
pub fn check_host(postback: &Field<'_>, url: &UrlRule, route: &Route) {
    let origin = url.origin.as_literal().and_then(|origin| Url::parse(origin).ok());
    let Some(Host::Domain(name)) = origin.as_ref().and_then(Url::host) else { return };
    // RFC 6761, section 6.3.
    let is_local = name == "localhost" || name.ends_with(".localhost");
    if is_local && route.proxy.is_none() && route.addresses == Addresses::Public {
        postback.error(
            format!("`{name}` is this machine, and names may stand for public addresses alone"),
            "write 127.0.0.1, or `delivery: { allow_private: true }` for this network".to_owned(),
        );
    }
}

/// Finds settings that a request proves its sender with, and that have no value: it would be refused each time.
pub fn check_settings(postback: &Field<'_>, request: &RequestRule, settings: &Settings) {
    let bearer = match &request.authorization {
        Authorization::Bearer(token) => Some(token),
        Authorization::None | Authorization::Basic { .. } => None,
    };
    let signed = request.sign.iter().flat_map(|sign| [Some(&sign.over), sign.key.as_ref()]).flatten();
    for slot in bearer.into_iter().chain(signed).flat_map(Template::slots) {
        if let Some(None) = settings.get(&slot.name)
            && !postback.problems().has_errors()
        {
            postback.error(
                format!("the setting `{}` has no value", slot.name),
                format!("write `{}: …` into this network's block", slot.name),
            );
        }
    }
}

/// Reads an address, or `none`. With credentials in it, it must not be written in clear text.
fn proxy(field: &Field<'_>) -> Option<ProxyServer> {
    let scalar = value::secret(field)?;
    if scalar.text == "none" {
        return None;
    }
    let url = Url::parse(scalar.text.trim()).ok();
    let is_proxy = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
    };
    // Without the text itself, which may hold a password.
    let Some(mut url) = url.filter(is_proxy) else {
        field.error(
            "this is not the address of a proxy",
            "write `http://HOST:PORT`, `https://HOST:PORT`, or `none`".to_owned(),
        );
        return None;
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let credentials = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    let has_credentials = !credentials.0.is_empty() || !credentials.1.is_empty();
    if has_credentials && scalar.origin == Origin::Written {
        field.error(
            "credentials must not stand here in clear text",
            "write the whole address as `${NAME}`, or { file: PATH }".to_owned(),
        );
        return None;
    }
    // Only addresses without a host refuse this.
    let _done = (url.set_username(""), url.set_password(None));
    Some(ProxyServer { url, credentials: has_credentials.then_some(credentials) })
}

fn read_tls(field: &Field<'_>, files: Files<'_>, route: &mut Route) {
    let Some(mut section) = field.section() else { return };
    let (ca, cert, key) = (section.get("ca"), section.get("client_cert"), section.get("client_key"));
    section.finish();
    if let Some(ca) = ca
        && let Some(path) = files.path(&ca)
        && files.are_there()
    {
        match certificate::authorities(&path) {
            Ok(found) => route.authorities = found.into_iter().map(|der| der.to_vec()).collect(),
            Err(unusable) => say_unusable(&ca, &unusable),
        }
    }
    match (cert, key) {
        (Some(cert), Some(key)) => route.identity = identity(&cert, &key, files),
        (Some(cert), None) => cert.key_error("`client_key` is missing", "write `client_key: client.key`".to_owned()),
        (None, Some(key)) => key.key_error("`client_cert` is missing", "write `client_cert: client.pem`".to_owned()),
        (None, None) => {}
    }
}

fn identity(cert: &Field<'_>, key: &Field<'_>, files: Files<'_>) -> Option<ClientIdentity> {
    let pair = CertificateFiles { cert: files.path(cert)?, key: files.path(key)? };
    if !files.are_there() {
        return None;
    }
    let mistakes = certificate::mistakes(&pair);
    let to_blame = |unusable: &UnusableCertificate| {
        if unusable.is_about_a_key() || unusable.path() != pair.cert { key } else { cert }
    };
    mistakes.iter().for_each(|unusable| say_unusable(to_blame(unusable), unusable));
    if !mistakes.is_empty() {
        return None;
    }
    let read = |path| file::read(path, certificate::LARGEST).ok();
    let identity = ClientIdentity::new(&read(&pair.cert)?, &read(&pair.key)?);
    if identity.is_none() {
        cert.error("these files hold other things than a certificate and its key", "leave the others out".to_owned());
    }
    identity
}

/// Reads `oauth2` of the map under `postback`, if it is there.
pub fn token(postback: &Field<'_>, settings: &Settings, hosts: &[&str]) -> Option<TokenRule> {
    // Unknown keys are told of by who reads the rest.
    let field = postback.section()?.get("oauth2")?;
    let mut section = field.section()?;
    let url = section
        .require("token_url", "write the address that gives tokens out: `token_url: https://…`")
        .and_then(|field| token_url(&field, settings, hosts));
    let client_id =
        section.require("client_id", "write `client_id: \"{SETTING}\"`").and_then(|field| text(&field, settings));
    let secret = |field: Field<'_>| secret_text(&field, settings);
    let client_secret = section.get("client_secret").and_then(secret);
    let refresh_token = section.get("refresh_token").and_then(secret);
    let scope = section.get("scope").and_then(|field| text(&field, settings));
    let audience = section.get("audience").and_then(|field| text(&field, settings));
    let credentials = section.get("credentials").and_then(|field| field.choice(&PLACES)).unwrap_or_default();
    if !section.contains("client_secret") && !section.contains("refresh_token") {
        section.field().error("`client_secret` is missing", "write `client_secret: \"{SETTING}\"`".to_owned());
    }
    section.finish();
    Some(TokenRule { url: url?, client_id: client_id?, client_secret, scope, audience, refresh_token, credentials })
}

fn token_url(field: &Field<'_>, settings: &Settings, hosts: &[&str]) -> Option<Url> {
    let rule = request::url(field, hosts)?;
    known(field, &rule.path, settings)?;
    let url = rule.render(&Values(settings), "").ok().and_then(|url| Url::parse(&url).ok());
    if url.is_none() {
        field.error("this is not an address", "write it whole: https://HOST/PATH".to_owned());
    }
    url
}

fn text(field: &Field<'_>, settings: &Settings) -> Option<String> {
    rendered(field, &template_of(field)?, settings)
}

fn secret_text(field: &Field<'_>, settings: &Settings) -> Option<String> {
    match &field.node.kind {
        Kind::Map(_) => value::secret(field).map(|scalar| scalar.text),
        Kind::Scalar(_) | Kind::List(_) => rendered(field, &secret_template(field)?, settings),
    }
}

fn rendered(field: &Field<'_>, template: &Template, settings: &Settings) -> Option<String> {
    known(field, template, settings)?;
    template.render(&Values(settings), Encoding::Raw)
}

/// Whether all names of a template are settings with a value.
fn known(field: &Field<'_>, template: &Template, settings: &Settings) -> Option<()> {
    for slot in template.slots() {
        match settings.get(&slot.name) {
            Some(Some(_)) => {}
            // A value that is wrong was told of where it stands.
            Some(None) if field.problems().has_errors() => return None,
            Some(None) => {
                field.error(
                    format!("the setting `{}` has no value", slot.name),
                    format!("write `{}: …` into this network's block", slot.name),
                );
                return None;
            }
            None => {
                let names = settings.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                field.error(
                    format!("no setting is called `{{{}}}`", slot.name),
                    format!("settings of this network: {names}"),
                );
                return None;
            }
        }
    }
    Some(())
}

/// What settings stand for.
struct Values<'a>(&'a Settings);

impl Scope for Values<'_> {
    fn lookup(&self, name: &str) -> Option<Datum> {
        self.0.get(name).cloned().flatten().map(Datum::One)
    }
}

pub(super) const PLACES: [(&str, Credentials); 2] = [("header", Credentials::Header), ("body", Credentials::Body)];
