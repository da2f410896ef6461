//! A recipe as we ship it, led to the stand-ins.

use std::{fs, net::SocketAddr, path::Path};

/// The recipes.
pub(super) const RECIPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/examples/shops");

/// The network that hears everything, in every recipe.
pub(super) const PROBE: &str = "probe";

/// What stands between the items that it hears of; no page has it in a name.
pub(super) const BETWEEN: &str = " ~ ";

/// A configuration with the networks that it tells.
pub(super) struct Recipe {
    /// YAML.
    pub(super) text: String,
    /// Their keys.
    pub(super) networks: Vec<&'static str>,
}

impl Recipe {
    /// Reads one; nothing is changed but addresses, and one network is added.
    pub(super) fn load(name: &str, origin: SocketAddr, network: SocketAddr) -> Self {
        let shipped = fs::read_to_string(Path::new(RECIPES).join(format!("{name}.yaml"))).unwrap();
        // The listener is one of those things that every test leaves to the proxy of the stories.
        let text = replaced(&shipped, "listen: 0.0.0.0:80\n", "");
        let text = replaced(&text, "upstream: http://127.0.0.1:8080\n", &format!("upstream: \"http://{origin}\"\n"));
        let (mut text, mut networks) = (text, Vec::new());
        for (key, last_line) in NETWORKS {
            if text.contains(last_line) {
                let postback = format!("{last_line}        postback: {{ url: \"http://{network}/{key}\" }}\n");
                text = text.replace(last_line, &postback);
                networks.push(key);
            }
        }
        assert!(networks.len() >= 2, "{name}: only {networks:?}");
        let text = added(&text, "    networks:", &probe(network));
        let text = added(&text, "        send:", &format!("          {PROBE}: {{ }}\n"));
        networks.push(PROBE);
        Self { text, networks }
    }
}

/// Networks, each with the last line of its settings in the recipes.
const NETWORKS: [(&str, &str); 3] = [
    ("exoclick", "        click: { param: exotracker }\n"),
    ("ingenious", "        advertiser_id: i12345678\n"),
    ("rokt", "        secret_key: ${ROKT_SECRET}\n"),
];

fn probe(network: SocketAddr) -> String {
    format!(
        r#"      {PROBE}:
        click: {{ param: {PROBE} }}
        needs: []
        postback:
          method: POST
          url: "http://{network}/{PROBE}"
          json:
            click: "{{click_id}}"
            order: "{{order_id}}"
            value: "{{value}}"
            currency: "{{currency}}"
            count: "{{items.count}}"
            id: '{{items.id|join:"{BETWEEN}"}}'
            name: '{{items.name|join:"{BETWEEN}"}}'
            price: '{{items.price|join:"{BETWEEN}"}}'
            quantity: '{{items.quantity|join:"{BETWEEN}"}}'
"#
    )
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old:?} is gone from the recipe");
    text.replace(old, new)
}

/// Puts lines below each line that opens a block; an alias for another block needs none.
fn added(text: &str, opening: &str, lines: &str) -> String {
    let opens = |line: &str| {
        let rest = line.strip_prefix(opening).map(str::trim);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('&'))
    };
    let added: String =
        text.split_inclusive('\n').flat_map(|line| [line, if opens(line) { lines } else { "" }]).collect();
    assert_ne!(added, text, "no {opening:?} in the recipe");
    added
}
