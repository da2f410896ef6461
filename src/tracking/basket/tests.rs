use proptest::prelude::*;
use serde_json::json;

use super::*;

/// `id|name|price|quantity` of each item.
fn lines(value: &Value) -> Vec<String> {
    let show = |item: &Item| {
        [&item.id, &item.name, &item.price, &item.quantity].map(|part| part.as_deref().unwrap_or("-")).join("|")
    };
    Basket::read(value, DecimalMark::Unknown).items().iter().map(show).collect()
}

#[test]
fn every_way_to_list_items_gives_the_same() {
    for (shape, value) in [
        (
            "GA4",
            json!([
                {"item_id": "A-1", "item_name": "Mug", "price": 9.95, "quantity": 2, "item_brand": "B"},
                {"item_id": "A-2", "item_name": "Tea", "price": "4.50", "quantity": "1"},
            ]),
        ),
        (
            "Universal Analytics",
            json!([
                {"id": "A-1", "name": "Mug", "price": "9.95", "quantity": 2, "category": "c"},
                {"id": "A-2", "name": "Tea", "price": "4.50", "quantity": 1},
            ]),
        ),
        (
            "schema.org offers",
            json!([
                {"@type": "Offer", "itemOffered": {"@type": "Product", "name": "Mug", "sku": "A-1"}, "price": "9.95",
                 "eligibleQuantity": {"@type": "QuantitativeValue", "value": 2}},
                {"@type": "Offer", "itemOffered": {"@type": "Product", "name": "Tea", "sku": "A-2"},
                 "priceSpecification": {"price": "4.50", "priceCurrency": "EUR"}, "eligibleQuantity": {"value": "1"}},
            ]),
        ),
        (
            "schema.org order items",
            json!([
                {"orderedItem": {"name": "Mug", "productID": "A-1", "price": 9.95}, "orderQuantity": 2},
                {"orderedItem": {"name": "Tea", "gtin": "A-2", "price": "4.50"}, "orderQuantity": 1},
            ]),
        ),
        (
            "Shopify",
            json!([
                {"sku": "A-1", "title": "Mug", "price": {"amount": 9.95, "currencyCode": "EUR"}, "quantity": 2},
                {"sku": "A-2", "title": "Tea", "price": "4.50", "quantity": 1},
            ]),
        ),
        (
            "WooCommerce's store API",
            json!([
                {"id": "A-1", "name": "Mug", "prices": {"price": "995", "currency_minor_unit": 2}, "quantity": 2},
                {"id": "A-2", "name": "Tea", "prices": {"price": "450", "currency_minor_unit": 2}, "quantity": 1},
            ]),
        ),
        (
            "keyed by index",
            json!({
                "0": {"product_id": "A-1", "name": "Mug", "item_price": "9,95 €", "qty": "2.0000"},
                "1": {"product_id": "A-2", "name": "Tea", "unit_price": "4,50 €", "qty": "1.0000"},
            }),
        ),
    ] {
        assert_eq!(lines(&value), ["A-1|Mug|9.95|2", "A-2|Tea|4.50|1"], "{shape}");
    }
}

#[test]
fn a_single_item_is_a_list_of_one() {
    assert_eq!(lines(&json!({"id": 17, "name": "Mug", "price": 10, "quantity": 1})), ["17|Mug|10|1"]);
    assert_eq!(lines(&json!({"itemOffered": {"sku": "A"}, "price": "1.00"})), ["A|-|1.00|-"]);
}

#[test]
fn what_is_doubtful_is_left_out_of_an_item_and_no_item_is_lost_for_it() {
    for (value, expected) in [
        (json!([{"id": "A", "price": "1.234", "quantity": 1}]), "A|-|-|1"),
        (json!([{"id": "A", "price": "from 5 to 10"}]), "A|-|-|-"),
        (json!([{"id": "", "sku": " S ", "price": null, "unit_price": "2.00"}]), "S|-|2.00|-"),
        (json!([{"id": true, "name": ["x"], "price": {"a": 1}, "qty": 3}]), "-|-|-|3"),
        (json!([{"id": "A", "priceSpecification": [{"price": 1}, {"price": 2}]}]), "A|-|-|-"),
        (json!([{"id": "a\u{0}b", "name": "n"}]), "-|n|-|-"),
        (json!([{"id": "A", "prices": {"price": "9.5", "currency_minor_unit": 2}}]), "A|-|-|-"),
    ] {
        assert_eq!(lines(&value), [expected], "{value}");
    }
    let known = Basket::read(&json!([{"price": "1.234"}]), DecimalMark::Comma);
    assert_eq!(known.items()[0].price.as_deref(), Some("1234"));
}

#[test]
fn what_holds_no_items_gives_none_and_no_columns() {
    for value in [json!(null), json!("x"), json!(7), json!([]), json!({}), json!([null, 1, "a", {}]), json!({"a": 1})] {
        let basket = Basket::read(&value, DecimalMark::Unknown);
        assert!(basket.items().is_empty() && basket.columns().is_empty(), "{value}");
    }
}

#[test]
fn columns_have_one_length_and_gaps_stay_gaps() {
    let value = json!([{"id": "A", "price": 1}, {"name": "Tea", "price": 2, "quantity": 3}]);
    let many = |texts: [&str; 2]| Datum::Many(texts.map(ToOwned::to_owned).to_vec());
    assert_eq!(
        Basket::read(&value, DecimalMark::Unknown).columns(),
        [
            ("items.id", many(["A", ""])),
            ("items.name", many(["", "Tea"])),
            ("items.price", many(["1", "2"])),
            ("items.quantity", many(["", "3"])),
            ("items.count", Datum::One("2".to_owned())),
        ]
    );
}

#[test]
fn a_basket_is_bounded() {
    let items: Vec<Value> = (0..130).map(|id| json!({"id": id})).collect();
    let basket = Basket::read(&Value::Array(items), DecimalMark::Unknown);
    assert_eq!((basket.items().len(), basket.left_out()), (100, 30));
    let long = json!([{"id": "x".repeat(257), "sku": "S", "name": "ü".repeat(200)}]);
    let basket = Basket::read(&long, DecimalMark::Unknown);
    let item = &basket.items()[0];
    assert_eq!((item.id.as_deref(), item.name.as_ref().map(String::len)), (Some("S"), Some(256)));
}

fn any_json() -> impl Strategy<Value = Value> {
    let names =
        IDS.iter().chain(&NAMES).chain(&PRICES).chain(&QUANTITIES).chain(&PRODUCTS).copied().collect::<Vec<_>>();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9.,-]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(names.clone()), inner), 0..4).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_json_gives_columns_of_one_length_and_prices_that_are_plain(value in any_json()) {
        let basket = Basket::read(&value, DecimalMark::Unknown);
        for (name, datum) in basket.columns() {
            match datum {
                Datum::Many(texts) => prop_assert_eq!(texts.len(), basket.items().len(), "{}", name),
                Datum::One(count) => prop_assert_eq!(count, basket.items().len().to_string()),
            }
        }
        for price in basket.items().iter().filter_map(|item| item.price.as_deref()) {
            prop_assert!(Amount::plain(price).is_some(), "{}", price);
        }
    }
}
