//! The places where a visitor's choice may stand, each with the reader that knows it.

use http::HeaderName;
use regex::Regex;

use super::{
    Reading, Requirement, axeptio::Axeptio, borlabs::Borlabs, complianz::Complianz, cookiebot::Cookiebot,
    cookieyes::CookieYes, didomi::Didomi, google, iubenda::Iubenda, jar, klaro::Klaro, onetrust::OneTrust, shopify,
    tarteaucitron::Tarteaucitron, tcf::Tcf, trustarc::TrustArc, usprivacy::UsPrivacy, wp::WpConsent,
};
use crate::tracking::value::RequestView;

/// A place where a choice may stand.
#[derive(Clone, Debug)]
pub enum Signal {
    /// The cookie in which our own script leaves the choice.
    Bridge,
    /// A TC string of the IAB.
    Tcf(Tcf),
    /// `OneTrust`.
    OneTrust(OneTrust),
    /// `Cookiebot`.
    Cookiebot(Cookiebot),
    /// `CookieYes`.
    CookieYes(CookieYes),
    /// `Complianz`.
    Complianz(Complianz),
    /// `Borlabs Cookie`.
    Borlabs(Borlabs),
    /// `iubenda`.
    Iubenda(Iubenda),
    /// `Didomi`.
    Didomi(Didomi),
    /// `TrustArc`.
    TrustArc(TrustArc),
    /// `Axeptio`.
    Axeptio(Axeptio),
    /// `tarteaucitron`.
    Tarteaucitron(Tarteaucitron),
    /// `Klaro`.
    Klaro(Klaro),
    /// A shop's own banner on `Shopify`.
    Shopify,
    /// The WP Consent API, which several banners of `WordPress` fill in.
    Wp(WpConsent),
    /// The IAB's US privacy string; it can only deny.
    UsPrivacy(UsPrivacy),
    /// Consent mode in the page's own hits to Google, where these pass through here.
    Google,
    /// Any cookie: a value that matches neither pattern is a denial.
    Cookie {
        /// Its name.
        name: String,
        /// What its decoded value looks like once the visitor agreed.
        granted: Regex,
        /// What it looks like once the visitor refused; it is asked first.
        denied: Option<Regex>,
    },
    /// Any request header, judged like a cookie.
    Header {
        /// Its name.
        name: HeaderName,
        /// What its value looks like once the visitor agreed.
        granted: Regex,
        /// What it looks like once the visitor refused; it is asked first.
        denied: Option<Regex>,
    },
}

impl Signal {
    /// How it is called under `from`.
    #[must_use]
    pub fn name(&self) -> String {
        let name = match self {
            Self::Bridge => "bridge",
            Self::Tcf(_) => "tcf",
            Self::OneTrust(_) => "onetrust",
            Self::Cookiebot(_) => "cookiebot",
            Self::CookieYes(_) => "cookieyes",
            Self::Complianz(_) => "complianz",
            Self::Borlabs(_) => "borlabs",
            Self::Iubenda(_) => "iubenda",
            Self::Didomi(_) => "didomi",
            Self::TrustArc(_) => "trustarc",
            Self::Axeptio(_) => "axeptio",
            Self::Tarteaucitron(_) => "tarteaucitron",
            Self::Klaro(_) => "klaro",
            Self::Shopify => "shopify",
            Self::Wp(_) => "wp",
            Self::UsPrivacy(_) => "usprivacy",
            Self::Google => "google",
            Self::Cookie { name, .. } => return format!("cookie {name}"),
            Self::Header { name, .. } => return format!("header {name}"),
        };
        name.to_owned()
    }

    /// What stands there.
    pub(super) fn read(&self, requirement: &Requirement, request: RequestView<'_>) -> Reading {
        let headers = request.headers;
        match self {
            Self::Bridge => jar::read(headers, BRIDGE_COOKIE, |text| Reading::of_word(text, BRIDGE_GRANTED)),
            Self::Tcf(tcf) => {
                let (purposes, vendor) = requirement.in_tcf();
                tcf.read(headers, purposes, vendor)
            }
            Self::OneTrust(it) => it.read(headers),
            Self::Cookiebot(it) => it.read(headers),
            Self::CookieYes(it) => it.read(headers),
            Self::Complianz(it) => it.read(headers),
            Self::Borlabs(it) => it.read(headers),
            Self::Iubenda(it) => it.read(headers),
            Self::Didomi(it) => it.read(headers),
            Self::TrustArc(it) => it.read(headers),
            Self::Axeptio(it) => it.read(headers),
            Self::Tarteaucitron(it) => it.read(headers),
            Self::Klaro(it) => it.read(headers),
            Self::Shopify => shopify::read(headers),
            Self::Wp(it) => it.read(headers),
            Self::UsPrivacy(it) => it.read(headers),
            Self::Google => google::read(request),
            Self::Cookie { name, granted, denied } => {
                let judge = |text: &str| Reading::of_patterns(text, granted, denied.as_ref());
                // An empty value is for the patterns to judge, too.
                jar::values(headers, name).map(|text| text.map_or(Reading::Denied, |text| judge(&text))).max().into()
            }
            Self::Header { name, granted, denied } => {
                let judge = |text: &str| Reading::of_patterns(text.trim(), granted, denied.as_ref());
                let values = headers.get_all(name).iter();
                values.map(|value| value.to_str().map_or(Reading::Denied, judge)).max().into()
            }
        }
    }

    /// The signal, if it is a TC string.
    pub(super) fn as_tcf(&self) -> Option<&Tcf> {
        if let Self::Tcf(tcf) = self { Some(tcf) } else { None }
    }
}

/// The cookie in which the bridge leaves the choice, as one of the two words below.
pub const BRIDGE_COOKIE: &str = "_tl_consent";
/// What the bridge says of a visitor who agreed.
pub const BRIDGE_GRANTED: &str = "granted";
/// What the bridge says of a visitor who refused.
pub const BRIDGE_DENIED: &str = "denied";
