//! What a text is decoded into.

use std::time::Duration;

use super::*;
use crate::tracking::{
    amount::DecimalMark,
    channel::Credit,
    conversion::{After, Mark},
    site::StoredAddress,
    value::{PageSource, Source},
};

/// The only site of a text that must be in order.
fn site(text: &str, environment: Environment) -> (Site, Vec<String>) {
    let mut config = Config::parse(Path::new("a.yaml"), text, environment).unwrap_or_else(|error| panic!("{error}"));
    let warnings = config.warnings.iter().map(ToString::to_string).collect();
    (config.sites.remove(0), warnings)
}

#[test]
fn a_callback_that_must_show_a_secret_may_come_from_anywhere() {
    let text = |when: &str| {
        format!(
            "{{ sites: [{{ upstream: 'http://a', consent: {{ require: none }}, networks: {{ exoclick: {{ click: {{ param: a }} }} }}, conversions: [
            {{ name: paid, path: /callback, caller: server, when: {{ query.token: {when} }}, order_id: json.order,
               send: {{ exoclick: {{ goal: 0123456789abcdef0123456789abcdef }} }} }}] }}] }}"
        )
    };
    assert_eq!(site(&text("${TOKEN}"), Environment::Ignored).1, [""; 0]);
    assert_eq!(site(&text("paid"), Environment::Ignored).1.len(), 1, "not a secret");
}

#[test]
fn a_conversion_is_decoded_into_what_it_says() {
    let text = r##"
privacy: { client_ip: full }
sites:
  - upstream: http://a
    recognise_by: cookie.PHPSESSID
    channels: [gclid, { param: utm_medium, is: [cpc, affiliate] }]
    networks: { exoclick: { click: { param: a, ttl: 7d } } }
    consent: { require: none }
    captures:
      - { name: checkout, path: /checkout, fields: { email: form.email } }
      - { name: pay, path: "/pay/{id}", method: POST, status: 303, key: path.id }
    conversions:
      - name: paid
        triggers: [{ path: "/done/{order_id}", status: [200, 404] }, { path: /callback, method: POST, caller: server }]
        from_addresses: [192.0.2.7, "2001:db8::/32"]
        after: [checkout, pay]
        success_mark: [Thank you, 'html("#done")']
        failure_mark: { literal: 'html("#done")' }
        value: { from: html("b")@content, minus: [query.tax, 0], minor: true }
        decimal_mark: comma
        items: data_layer.ecommerce.items
        email: journey.email
        credit: last_paid_click
        send: { exoclick: { goal: journey.email, click_id: json.click } }
"##;
    let (site, warnings) = site(text, Environment::Process);
    assert_eq!(warnings, [""; 0]);
    let rules = &site.rules;
    assert_eq!((rules.client_ip, rules.recognise_by.len()), (StoredAddress::Full, 1));
    assert!(rules.channels[1].is_in("utm_medium=affiliate") && !rules.channels[1].is_in("utm_medium=organic"));
    assert_eq!(rules.networks[0].click_ttl, Duration::from_hours(7 * 24));

    let [checkout, pay] = rules.captures.as_slice() else { panic!("two captures") };
    assert!(checkout.trigger.succeeds(302) && checkout.key.is_none() && checkout.fields.len() == 1);
    assert!(!pay.trigger.succeeds(302) && pay.trigger.succeeds(303) && pay.key.is_some());

    let paid = &rules.conversions[0];
    let [done, callback] = paid.triggers.as_slice() else { panic!("two triggers") };
    assert!(done.succeeds(404) && !callback.succeeds(404) && !done.caller.is_server());
    let may_be_at = |address: &str| callback.caller.may_be_at(address.parse().unwrap());
    assert!(callback.caller.is_server() && may_be_at("192.0.2.7") && may_be_at("2001:db8::1"));
    assert!(!may_be_at("192.0.2.8"), "another address");
    let after = After { captures: vec!["checkout".into(), "pay".into()], within: Duration::from_hours(24) };
    assert_eq!(paid.after.as_ref(), Some(&after));
    assert_eq!(paid.proof.success, [Mark::Text("Thank you".into()), Mark::Html("#done".into())]);
    assert_eq!(paid.proof.failure, [Mark::Text("html(\"#done\")".into())]);
    assert_eq!((paid.decimal_mark, paid.credit), (DecimalMark::Comma, Credit::LastPaidClick));
    let fields: Vec<_> = paid.fields.iter().map(|(name, value)| (name.as_str(), value.sources())).collect();
    let place = PageSource::Html { css: "b".into(), attribute: Some("content".into()) };
    let expected = [
        ("order_id", vec![Source::Path("order_id".into())]),
        ("value", vec![Source::Page(place), Source::Query("tax".into())]),
        ("email", vec![Source::Journey("email".into())]),
    ];
    assert_eq!(fields, expected.each_ref().map(|(name, sources)| (*name, sources.iter().collect())));
    assert!(paid.items.is_some());
    assert_eq!(paid.send[0].captured.len(), 1, "the goal is read from the journey");
    assert!(paid.send[0].click_id.is_some());
}

#[test]
fn a_network_says_how_its_requests_leave() {
    use crate::delivery::{
        outbound::Credentials,
        route::{Addresses, Route},
    };

    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["net.example".to_owned()]).unwrap();
    for (name, content) in [
        ("net.pem", pair.cert.pem().as_str()),
        ("net.key", pair.signing_key.serialize_pem().as_str()),
        ("proxy.txt", "https://ada:p%40ss@proxy.example:3129\n"),
        ("secret.txt", "s3cret\n"),
    ] {
        write(&folder.path().join(name), content);
    }
    let text = "
delivery: { allow_private: true, proxy: { file: proxy.txt } }
sites:
  - upstream: http://a
    networks:
      plain: { click: { param: a }, postback: { url: https://net.example/ } }
      own:
        click: { param: b }
        settings: { region: { default: eu.net.example, host: true }, key: { secret: true } }
        key: { file: secret.txt }
        tls: { ca: net.pem, client_cert: net.pem, client_key: net.key }
        delivery: { allow_private: false, proxy: none }
        postback:
          url: https://{region}/
          oauth2: { token_url: 'https://{region}/token', client_id: us, client_secret: '{key}', credentials: body }\n";
    let config = Config::parse(&folder.path().join("a.yaml"), text, Environment::Process);
    let destinations = config.unwrap_or_else(|error| panic!("{error}")).destinations();
    let outbound = |network| destinations.find("default", network).unwrap().outbound.clone();

    let plain = outbound("plain");
    let proxy = plain.route.proxy.as_ref().unwrap();
    assert_eq!(proxy.url.as_str(), "https://proxy.example:3129/");
    assert_eq!(proxy.credentials, Some(("ada".to_owned(), "p@ss".to_owned())));
    assert_eq!((plain.route.addresses, plain.token.is_none()), (Addresses::Any, true));

    let own = outbound("own");
    let Route { authorities, identity, proxy, addresses } = &*own.route;
    assert_eq!((authorities.len(), identity.is_some(), proxy, *addresses), (1, true, &None, Addresses::Public));
    let token = own.token.unwrap();
    assert_eq!(token.url.as_str(), "https://eu.net.example/token");
    assert_eq!((token.client_secret.as_deref(), token.credentials), (Some("s3cret"), Credentials::Body));
    assert_eq!(*own.mask.masked(b"with s3cret"), *b"with ***", "what a file holds is masked");
}
