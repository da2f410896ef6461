//! Configurations that the stories start from.

use super::{network::AdNetwork, origin::Origin};

/// A goal as ExoClick issues them.
pub(crate) const GOAL: &str = "0123456789abcdef0123456789abcdef";

/// ExoClick's hosts in the order of its documentation.
pub(crate) const HOSTS: [&str; 11] = [
    "s.chmsrv.com",
    "s.chnsrv.com",
    "s.ds10lf.com",
    "s.ds165z.com",
    "s.eln7dc.com",
    "s.opoxv.com",
    "s.orbsrv.com",
    "s.pemsrv.com",
    "s.zlinkw.com",
    "s.magsrv.com",
    "syndication.realsrv.com",
];

/// The order id, the money and the browser of the usual thank-you page.
pub(crate) const THANKS: &str = "/thank-you/1001?total=49.90";

/// One site with ExoClick and one conversion, `purchase`, on `/thank-you/{order_id}`.
pub(crate) fn shop(origin: &Origin, network: &AdNetwork) -> String {
    shop_with(origin, network, "")
}

/// The same with more keys under the conversion, such as `dedup_window: 1d`, one per line.
pub(crate) fn shop_with(origin: &Origin, network: &AdNetwork, conversion: &str) -> String {
    let (origin, network) = (origin.address(), network.address());
    let more: String = conversion.lines().flat_map(|line| ["        ", line.trim(), "\n"]).collect();
    format!(
        r#"sites:
  - upstream: "http://{origin}"
    networks:
      exoclick: {{ click: {{ param: exotracker }}, postback: {{ url: "http://{network}/tag.php" }} }}
    conversions:
      - name: purchase
        path: "/thank-you/{{order_id}}"
        value: query.total
        currency: EUR
{more}        send:
          exoclick: {{ goal: {GOAL} }}
"#
    )
}

/// One site with two ExoClick accounts and Rokt, for landings with several networks.
pub(crate) fn shop_of_three(origin: &Origin) -> String {
    format!(
        r#"sites:
  - upstream: "http://{}"
    networks:
      exoclick: {{ click: {{ param: exotracker }} }}
      exo_de: {{ preset: exoclick, click: {{ param: exode, cookie: _exo_de }}, sync: none }}
      rokt_conversion: {{ account_id: 3051387316918867566 }}
    conversions:
      - name: purchase
        path: /thank-you
        send:
          exoclick: {{ goal: {GOAL} }}
"#,
        origin.address()
    )
}

/// One site with these networks, and a conversion `purchase` that sends as told; both as they stand in YAML, indented.
pub(crate) fn shop_of(origin: &Origin, networks: &str, send: &str) -> String {
    format!(
        r#"sites:
  - upstream: "http://{}"
    networks:
{networks}
    conversions:
      - name: purchase
        path: "/thank-you/{{order_id}}"
        value: query.total
        currency: EUR
        email: query.email
        send:
{send}
"#,
        origin.address()
    )
}

/// A configuration with one more key of its site, such as `csp: respect`.
pub(crate) fn with_site_key(configuration: &str, key: &str) -> String {
    assert!(configuration.contains("    networks:\n"), "no place for {key}");
    configuration.replacen("    networks:\n", &format!("    {key}\n    networks:\n"), 1)
}
