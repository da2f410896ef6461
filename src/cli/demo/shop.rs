//! The demo's shop: the old site that nobody wants to touch.
//!
//! It sells three things, remembers nothing, and has not one line about tracking: that is the
//! proxy's whole point. Its pages need nothing from elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    Form, Router,
    extract::{Path, Query},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::network::escape;

/// Builds the shop. Orders are numbered from `first_order` on, so that no two demos sell the same.
pub fn router(first_order: u32) -> Router {
    let orders = Arc::new(AtomicU32::new(first_order));
    let buy = move |Form(order): Form<Order>| async move { place(&order, orders.fetch_add(1, Ordering::Relaxed)) };
    Router::new()
        .route("/", get(|| async { page("Welcome", &landing()) }))
        .route("/old-landing", get(|| async { (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, "/")]) }))
        .route("/product/{id}", get(|Path(id): Path<String>| async move { product(&id) }))
        .route("/checkout", get(|Query(basket): Query<Basket>| async move { checkout(&basket) }).post(buy))
        .route("/thank-you/{order}", get(thank_you))
        .fallback(|| async { not_found() })
}

#[derive(Debug, Deserialize)]
struct Basket {
    #[serde(default)]
    product: String,
}

#[derive(Debug, Deserialize)]
struct Order {
    #[serde(default)]
    product: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Receipt {
    #[serde(default)]
    total: String,
    #[serde(default)]
    name: String,
}

struct Product {
    id: &'static str,
    name: &'static str,
    price: &'static str,
    emblem: &'static str,
    text: &'static str,
}

impl Product {
    fn named(id: &str) -> Option<&'static Self> {
        PRODUCTS.iter().find(|product| product.id == id)
    }
}

fn landing() -> String {
    let card = |Product { id, name, price, emblem, .. }: &Product| {
        format!(
            "<a class=card href=\"/product/{id}\"><span class=emblem>{emblem}</span><b>{name}</b><i>{price} EUR</i></a>"
        )
    };
    let cards: String = PRODUCTS.iter().map(card).collect();
    format!("<p class=lead>Fine things for desk and kitchen since 1998.</p><div class=grid>{cards}</div>")
}

fn product(id: &str) -> Response {
    let Some(Product { id, name, price, emblem, text }) = Product::named(id) else { return not_found() };
    let body = format!(
        "<div class=card><span class=emblem>{emblem}</span><p>{text}</p><i>{price} EUR, postage included</i>\
         <a class=button href=\"/checkout?product={id}\">Buy</a></div>"
    );
    page(name, &body).into_response()
}

fn checkout(basket: &Basket) -> Response {
    let product = Product::named(&basket.product).unwrap_or(&PRODUCTS[0]);
    let body = format!(
        "<form class=card method=post action=/checkout><p>{} for <b>{} EUR</b></p>\
         <input type=hidden name=product value={}>\
         <label>Name <input name=name autocomplete=off value=\"Ada Example\"></label>\
         <label>E-mail <input name=email type=email required autocomplete=off value=\"ada@example.com\"></label>\
         <button class=button>Place the order</button></form>",
        product.name, product.price, product.id
    );
    page("Checkout", &body).into_response()
}

/// Ends as old shops do: everything the next page shows travels in its address.
fn place(order: &Order, number: u32) -> Redirect {
    let price = Product::named(&order.product).unwrap_or(&PRODUCTS[0]).price;
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let (email, name) = (encode(&order.email), encode(&order.name));
    Redirect::to(&format!("/thank-you/{number}?total={price}&email={email}&name={name}"))
}

async fn thank_you(Path(order): Path<String>, Query(receipt): Query<Receipt>) -> Html<String> {
    let (order, name, total) = (escape(&order), escape(&receipt.name), escape(&receipt.total));
    let body = format!(
        "<div class=card><p>Thank you, {name}!</p><p>Order <b>{order}</b> over <b>{total} EUR</b> is on its way.</p>\
         <a class=button href=/>Back to the shop</a></div>"
    );
    page("Thank you", &body)
}

fn not_found() -> Response {
    let body = "<div class=card><p>There is no such page.</p><a class=button href=/>To the shop</a></div>";
    (StatusCode::NOT_FOUND, page("Not found", body)).into_response()
}

fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport content=\"width=device-width\">\n\
         <title>{title} - Paper &amp; Kettle</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header><a href=/>Paper &amp; Kettle</a></header>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n\
         <footer>A shop that nobody dares to touch.</footer>\n</body>\n</html>\n"
    ))
}

const PRODUCTS: [Product; 3] = [
    Product { id: "kettle", name: "Copper kettle", price: "49.90", emblem: "&#9749;", text: "Whistles in C sharp." },
    Product { id: "pen", name: "Fountain pen", price: "24.50", emblem: "&#10002;", text: "Writes like 1998." },
    Product { id: "clock", name: "Desk clock", price: "89.00", emblem: "&#9684;", text: "Right at least twice a day." },
];

const STYLE: &str = "body{margin:0;font:16px/1.6 Georgia,serif;color:#3b2f2a;background:#f6f0e6}\
header{background:#7a3b2e;padding:1em}header a{color:#fff;text-decoration:none;font-size:1.5em}\
main{max-width:46em;margin:2em auto;padding:0 1em}h1{font-weight:normal}\
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(12em,1fr));gap:1em}\
.card{display:flex;flex-direction:column;gap:.5em;padding:1.2em;background:#fff;border:1px solid #e2d5c3;\
border-radius:6px;color:inherit;text-decoration:none}.emblem{font-size:3em;line-height:1.2}\
.button{align-self:start;background:#7a3b2e;color:#fff;border:0;border-radius:4px;padding:.5em 1.2em;\
font:inherit;text-decoration:none;cursor:pointer}label{display:flex;flex-direction:column}\
input{font:inherit;padding:.4em;border:1px solid #c9b8a3;border-radius:4px}\
footer{text-align:center;color:#9a8877;padding:2em}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_leads_to_a_thank_you_page_that_carries_its_total() {
        let order = Order { product: "pen".into(), email: "a+b@example.com".into(), name: "A & B".into() };
        let response = place(&order, 7).into_response();
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let location = response.headers()[header::LOCATION].to_str().unwrap();
        assert_eq!(location, "/thank-you/7?total=24.50&email=a%2Bb%40example%2Ecom&name=A%20%26%20B");
    }

    #[test]
    fn pages_end_as_documents_do() {
        let Html(page) = page("Welcome", &landing());
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</body>\n</html>\n"), "{page}");
        assert!(!page.contains("<script") && !page.contains("http"), "needs nothing from elsewhere");
    }

    #[tokio::test]
    async fn a_hostile_receipt_stays_text() {
        let receipt = Receipt { total: "<script>".into(), name: "\"'&".into() };
        let Html(page) = thank_you(Path("</body>".into()), Query(receipt)).await;
        assert!(page.contains("&lt;script&gt;") && page.contains("&quot;&#39;&amp;") && page.contains("&lt;/body&gt;"));
    }
}
