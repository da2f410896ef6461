//! The items of an order, as shops and their data layers list them.
//!
//! Google's `ecommerce.items` and the older `products`, schema.org's `acceptedOffer` and
//! `orderedItem`, the line items that shop systems print: all come down to an id, a name, a price and
//! a quantity. What an item doesn't say, or says doubtfully, is left out of it; whether an order with
//! such items is reported is the business of templates.

use serde_json::{Map, Value};

use super::{
    amount::{Amount, DecimalMark},
    event::Datum,
};

/// One kind of thing that was bought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The shop's id or number of the product.
    pub id: Option<String>,
    /// What it is called.
    pub name: Option<String>,
    /// What one costs, as [`Amount::text`] writes it.
    pub price: Option<String>,
    /// How many.
    pub quantity: Option<String>,
}

/// The items of one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basket {
    items: Vec<Item>,
    left_out: usize,
}

impl Basket {
    /// Reads a list of items, a single item, or items under keys of their own (`{"0": …, "1": …}`).
    ///
    /// At most 100 are kept. Entries that say nothing of an item are passed over.
    #[must_use]
    pub fn read(value: &Value, mark: DecimalMark) -> Self {
        let mut basket = Self::default();
        for value in entries(value) {
            let item = Item::read(value, mark);
            if item == Item::default() {
                continue;
            }
            if basket.items.len() < MAX_ITEMS {
                basket.items.push(item);
            } else {
                basket.left_out += 1;
            }
        }
        basket
    }

    /// The items in their order.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// How many items were too many.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// The items by column, for templates: `items.id`, `items.name`, `items.price`, `items.quantity`,
    /// all of one length, with an empty text for what an item doesn't say; and `items.count`, the
    /// number of items. Nothing at all without items.
    #[must_use]
    pub fn columns(&self) -> Vec<(&'static str, Datum)> {
        if self.items.is_empty() {
            return Vec::new();
        }
        let column = |part: fn(&Item) -> &Option<String>| {
            Datum::Many(self.items.iter().map(|item| part(item).clone().unwrap_or_default()).collect())
        };
        vec![
            ("items.id", column(|item| &item.id)),
            ("items.name", column(|item| &item.name)),
            ("items.price", column(|item| &item.price)),
            ("items.quantity", column(|item| &item.quantity)),
            ("items.count", Datum::One(self.items.len().to_string())),
        ]
    }
}

impl Item {
    fn read(value: &Value, mark: DecimalMark) -> Self {
        let Some(line) = value.as_object() else { return Self::default() };
        // schema.org: an Offer has itemOffered, an OrderItem has orderedItem.
        let product = PRODUCTS.iter().find_map(|name| line.get(*name)?.as_object());
        let name = first(line, &NAMES, text).or_else(|| first(product?, &NAMES, text));
        let id = |value: &Value| text(value).filter(|id| id.len() <= MAX_TEXT);
        let price = price(line, mark).or_else(|| price(product?, mark));
        Self {
            id: first(line, &IDS, id).or_else(|| first(product?, &IDS, id)),
            name: name.map(|name| cut(&name).to_owned()),
            price: price.map(|amount| amount.text()),
            quantity: first(line, &QUANTITIES, |value| quantity(value, mark)),
        }
    }

    /// Whether an object tells of an item itself, and is no list of items.
    fn is_told_by(object: &Map<String, Value>) -> bool {
        let names = IDS.iter().chain(&NAMES).chain(&PRICES).chain(&QUANTITIES).chain(&PRODUCTS);
        names.into_iter().any(|name| object.contains_key(*name))
    }
}

fn entries(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Object(object) if Item::is_told_by(object) => vec![value],
        Value::Object(object) => object.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn first<T>(object: &Map<String, Value>, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    names.iter().find_map(|name| object.get(*name).and_then(&read))
}

/// Clean text, or a number as it is written.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
        }
        Value::Number(_) => Some(Amount::from_json(value, DecimalMark::Unknown).ok()?.text()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn price(object: &Map<String, Value>, mark: DecimalMark) -> Option<Amount> {
    first(object, &PRICES, |value| match value {
        // schema.org's priceSpecification may be several; which one was paid is not said.
        Value::Array(values) => match values.as_slice() {
            [Value::Object(price)] => one_price(price, mark),
            _ => None,
        },
        Value::Object(price) => one_price(price, mark),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Amount::from_json(value, mark).ok(),
    })
}

fn one_price(object: &Map<String, Value>, mark: DecimalMark) -> Option<Amount> {
    let amount = first(object, &AMOUNTS, |value| Amount::from_json(value, mark).ok())?;
    match object.get("currency_minor_unit") {
        // WooCommerce's Store API counts in minor units and says how many decimals that makes.
        Some(exponent) => Amount::from_units(&amount, u32::try_from(exponent.as_u64()?).ok()?).ok(),
        None => Some(amount),
    }
}

/// A number of pieces; `2.0000` as Magento prints it is 2.
fn quantity(value: &Value, mark: DecimalMark) -> Option<String> {
    let value = match value {
        Value::Object(object) => object.get("value")?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value,
    };
    Some(Amount::from_json(value, mark).ok()?.shortest().text())
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default()
}

const IDS: [&str; 9] = ["item_id", "id", "sku", "product_id", "productID", "gtin", "gtin13", "gtin8", "gtin14"];
const NAMES: [&str; 3] = ["item_name", "name", "title"];
const PRICES: [&str; 5] = ["price", "unit_price", "item_price", "prices", "priceSpecification"];
const AMOUNTS: [&str; 3] = ["price", "amount", "value"];
const QUANTITIES: [&str; 4] = ["quantity", "qty", "orderQuantity", "eligibleQuantity"];
const PRODUCTS: [&str; 2] = ["itemOffered", "orderedItem"];

/// Most items of one order.
const MAX_ITEMS: usize = 100;

/// Longest name in bytes, and longest id; an id that is cut is another.
const MAX_TEXT: usize = 256;

#[cfg(test)]
mod tests;
