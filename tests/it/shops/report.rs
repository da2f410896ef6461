//! What a network heard, whatever its dialect.

use serde_json::Value;

use super::{
    cases::{Item, Order},
    recipe::{BETWEEN, PROBE},
};
use crate::support::server::Request;

/// A postback in the words of a conversion.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) network: String,
    pub(super) click: Option<String>,
    pub(super) order_id: Option<String>,
    value: Option<String>,
    currency: Option<String>,
    email_sha256: Option<String>,
    items: Vec<Item>,
}

impl Report {
    /// Reads a request that was led to `/NETWORK`.
    pub(super) fn read(request: &Request) -> Self {
        let network = request.path().trim_start_matches('/').to_owned();
        let parameter = |name| request.parameter(name).map(ToOwned::to_owned);
        match network.as_str() {
            "exoclick" => Self { click: parameter("tag"), value: parameter("value"), network, ..Self::default() },
            "ingenious" => Self {
                click: parameter("cli"),
                order_id: parameter("cid"),
                value: parameter("orv"),
                currency: parameter("orc"),
                network,
                ..Self::default()
            },
            "rokt" => Self::rokt(network, &request.json()),
            PROBE => Self::probe(network, &request.json()),
            other => panic!("no network is called {other}"),
        }
    }

    /// Checks all that this network can say of an order.
    pub(super) fn assert_tells(&self, order: &Order, click: &str, case: &str) {
        let told = (&self.value, &self.click.as_deref());
        if self.network == PROBE {
            assert_eq!(told.0, &order.value, "{case}: {self:?}");
            assert_eq!(self.items, order.items, "{case}: {self:?}");
        } else {
            assert_eq!(told, (&order.value, &Some(click)), "{case}: {self:?}");
        }
        if self.network != "exoclick" {
            assert_eq!((&self.order_id, &self.currency), (&order.number, &order.currency), "{case}: {self:?}");
        }
        if self.network == "rokt" {
            assert_eq!(self.email_sha256, order.email_sha256, "{case}: {self:?}");
        }
    }

    fn rokt(network: String, body: &Value) -> Self {
        let data = body.pointer("/events/0/objectData").and_then(Value::as_array).expect("objectData");
        let named = |name: &str| {
            let entry = data.iter().find(|entry| entry["name"] == name)?;
            entry["value"].as_str().map(ToOwned::to_owned)
        };
        Self {
            click: named("passbackconversiontrackingid"),
            order_id: named("transactionid"),
            value: named("amount"),
            currency: named("currency"),
            email_sha256: named("emailsha256"),
            items: Vec::new(),
            network,
        }
    }

    fn probe(network: String, body: &Value) -> Self {
        let member = |name: &str| body[name].as_str().map(ToOwned::to_owned);
        Self {
            click: member("click"),
            order_id: member("order"),
            value: member("value"),
            currency: member("currency"),
            email_sha256: None,
            items: items(body),
            network,
        }
    }
}

/// Puts the columns of a basket together, which all have as many entries as there are items.
fn items(body: &Value) -> Vec<Item> {
    let column = |name: &str| -> Vec<String> {
        let text = body[name].as_str();
        text.map(|text| text.split(BETWEEN).map(ToOwned::to_owned).collect()).unwrap_or_default()
    };
    let [ids, names, prices, quantities] = ["id", "name", "price", "quantity"].map(column);
    let count: usize = body["count"].as_str().map_or(0, |count| count.parse().expect("a whole number"));
    assert_eq!([&ids, &names, &prices, &quantities].map(Vec::len), [count; 4], "{body}");
    let rest = names.into_iter().zip(prices).zip(quantities);
    ids.into_iter().zip(rest).map(|(id, ((name, price), quantity))| Item { id, name, price, quantity }).collect()
}
