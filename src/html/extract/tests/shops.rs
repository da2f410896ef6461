//! Thank-you pages, true to the systems that print them.

use super::*;

/// A page, what is asked of it, and what must come out.
struct Shop {
    name: &'static str,
    page: &'static str,
    expected: Vec<(PageField, Option<Value>)>,
    shown: Vec<Mark>,
    absent: Vec<Mark>,
}

#[test]
fn every_shop_is_read() {
    for Shop { name, page, expected, shown, absent } in
        overviews().into_iter().chain(elements()).chain(scripts()).chain(events())
    {
        let fields = expected.iter().map(|(field, _)| field.clone()).collect();
        let marks = shown.iter().chain(&absent).cloned().collect();
        let rule = Arc::new(PageRule::new(fields, marks).unwrap());
        for size in [1, 7, 1_000, page.len()] {
            let reading = read_chunks(&rule, Some("UTF-8"), page.as_bytes().chunks(size));
            assert!(reading.is_complete(), "{name}");
            for (at, (field, value)) in expected.iter().enumerate() {
                assert_eq!(reading.value(at), value.as_ref(), "{name}: {field:?}");
            }
            for at in 0..shown.len() + absent.len() {
                assert_eq!(reading.has_mark(at), at < shown.len(), "{name}: {:?}", rule.marks()[at]);
            }
        }
    }
}

fn overviews() -> Vec<Shop> {
    vec![Shop {
        name: "WooCommerce, classic theme, German",
        page: r#"<!DOCTYPE html><html lang="de"><head><meta charset="UTF-8"><title>Kasse &#8211; Laden</title></head>
<body class="woocommerce-order-received"><div class="woocommerce-order">
<p class="woocommerce-notice woocommerce-notice--success woocommerce-thankyou-order-received">Vielen Dank. Deine Bestellung ist eingegangen.</p>
<ul class="woocommerce-order-overview woocommerce-thankyou-order-details order_details">
	<li class="woocommerce-order-overview__order order">
		Bestellnummer:					<strong>10042</strong>
	</li>
	<li class="woocommerce-order-overview__date date">Datum: <strong>21. November 2026</strong></li>
	<li class="woocommerce-order-overview__total total">
		Gesamt:					<strong><span class="woocommerce-Price-amount amount"><bdi>1.234,56&nbsp;<span class="woocommerce-Price-currencySymbol">&euro;</span></bdi></span> <small class="includes_tax">(inkl. <span class="woocommerce-Price-amount amount">197,11&nbsp;<span class="woocommerce-Price-currencySymbol">&euro;</span></span> MwSt.)</small></strong>
	</li>
</ul></div></body></html>"#,
        expected: vec![
            (html(".woocommerce-order-overview__order strong"), Some(json!("10042"))),
            (html(".woocommerce-order-overview__total .amount"), Some(json!("1.234,56\u{a0}\u{20ac}"))),
            (
                html(".woocommerce-order-overview__total strong"),
                Some(json!("1.234,56\u{a0}\u{20ac} (inkl. 197,11\u{a0}\u{20ac} MwSt.)")),
            ),
        ],
        shown: vec![
            text_mark("Deine Bestellung ist eingegangen"),
            Mark::Html(".woocommerce-order-overview".to_owned()),
        ],
        absent: vec![Mark::Html(".woocommerce-thankyou-order-failed".to_owned())],
    }]
}

fn elements() -> Vec<Shop> {
    vec![
        Shop {
            name: "WooCommerce, order failed under the same address",
            page: r#"<div class="woocommerce-order">
<p class="woocommerce-notice woocommerce-notice--error woocommerce-thankyou-order-failed">Unfortunately your order cannot be processed as the originating bank/merchant has declined your transaction. Please attempt your purchase again.</p>
<p class="woocommerce-notice woocommerce-thankyou-order-failed-actions"><a href="https://shop.example/checkout/order-pay/10043/?pay_for_order=true&#038;key=wc_order_abc" class="button pay">Pay</a></p></div>"#,
            expected: vec![(html(".woocommerce-order-overview__order strong"), None)],
            shown: vec![Mark::Html(".woocommerce-thankyou-order-failed".to_owned()), text_mark("has declined")],
            absent: vec![Mark::Html(".woocommerce-order-overview".to_owned())],
        },
        Shop {
            name: "Magento 2",
            page: r#"<div class="checkout-success">
            <p>Your order number is: <a href="https://shop.example/sales/order/view/order_id/77/" class="order-number"><strong>000000123</strong></a>.</p>
            <p>We&#039;ll email you an order confirmation with details and tracking info.</p>
<script type="text/x-magento-init">{"*": {"Magento_GoogleGtag/js/google-analytics": {"ordersTrackingData": {"orders": [{"order_id": "000000123"}]}}}}</script></div>"#,
            expected: vec![
                (html(".checkout-success .order-number strong"), Some(json!("000000123"))),
                (
                    attribute("a.order-number", "href"),
                    Some(json!("https://shop.example/sales/order/view/order_id/77/")),
                ),
                (data_layer("order_id"), None),
            ],
            shown: vec![text_mark("We'll email you")],
            absent: vec![],
        },
        Shop {
            name: "Shopware 6",
            page: r#"<p class="finish-ordernumber" data-order-number="10001">Your order number: #10001</p>
<div class="hidden-line-items-information" data-currency="EUR" data-value="1234.5" data-shipping="4.99" data-tax="197.11">
<span class="hidden-line-item" data-id="0190f5a0c0de" data-name="Tea &amp; &quot;cups&quot;" data-quantity="2" data-price="617.25"></span></div>"#,
            expected: vec![
                (attribute(".finish-ordernumber", "data-order-number"), Some(json!("10001"))),
                (attribute(".hidden-line-items-information", "data-value"), Some(json!("1234.5"))),
                (attribute(".hidden-line-items-information", "data-currency"), Some(json!("EUR"))),
                (attribute(".hidden-line-item", "data-name"), Some(json!("Tea & \"cups\""))),
            ],
            shown: vec![],
            absent: vec![],
        },
        Shop {
            name: "Shopware 5",
            page: r#"<div class="finish--content"><span class="entry--label">Bestellnummer:</span> 20001
<ul class="aggregation--list"><li class="list--entry entry--sum"><div class="entry--label">Summe:</div><div class="entry--value">90,00&nbsp;&euro;*</div></li>
<li class="list--entry entry--total"><div class="entry--label">Gesamtsumme:</div><div class="entry--value is--no-star">94,90&nbsp;&euro;</div></li></ul></div>"#,
            expected: vec![(
                html(".aggregation--list .entry--total .entry--value"),
                Some(json!("94,90\u{a0}\u{20ac}")),
            )],
            shown: vec![text_mark("Bestellnummer: 20001 Summe: 90,00 \u{20ac}*")],
            absent: vec![],
        },
        Shop {
            name: "PrestaShop 1.7",
            page: r#"<div id="order-details"><h3 class="h3 card-title">Order details:</h3><ul>
<li>Order reference: XKBKNABJK</li><li>Payment method: Bank transfer</li></ul></div>
<div class="order-confirmation-table"><table><tbody><tr><td>Subtotal</td><td>&pound;28.72</td></tr><tr class="total-value font-weight-bold"><td><span class="text-uppercase">Total&nbsp;(tax incl.)</span></td><td>&pound;1,028.72</td></tr></tbody></table></div>"#,
            expected: vec![
                (html("#order-details li"), Some(json!("Order reference: XKBKNABJK"))),
                (html(".order-confirmation-table .total-value td:nth-child(2)"), Some(json!("\u{a3}1,028.72"))),
            ],
            shown: vec![text_mark("Total (tax incl.) \u{a3}1,028.72")],
            absent: vec![Mark::Html("p.warning".to_owned())],
        },
        Shop {
            name: "Zen Cart, with tags left open",
            page: r#"<TABLE><TR><TD><h1 id="checkoutSuccessHeading">Thank You! We Appreciate your Business!</h1>
<TR><TD><div id="checkoutSuccessOrderNumber">Your Order Number is: <b>4711</b></div><TD class=sum>$ 12.50<TD>USD</TABLE>"#,
            expected: vec![
                (html("#checkoutSuccessOrderNumber b"), Some(json!("4711"))),
                (html("td.sum"), Some(json!("$ 12.50"))),
            ],
            shown: vec![text_mark("Thank You! We Appreciate")],
            absent: vec![text_mark("Thank you!")],
        },
    ]
}

fn scripts() -> Vec<Shop> {
    vec![
        Shop {
            name: "GTM4WP 2, a variable and its push",
            page: r#"<script data-cfasync="false" data-pagespeed-no-defer>
	var dataLayer_content = {"pagePostType":"page","customerTotalOrders":0,"orderData":{"attributes":{"date":"2026-11-21T10:00:00+00:00","order_number":10042,"payment_method_title":"K\u00e4uferschutz \u0026 Co"},"totals":{"currency":"EUR","total":1234.56},"customer":{"billing":{"email":"buyer@example.com"}}},"event":"purchase","ecommerce":{"currency":"EUR","transaction_id":"10042","affiliation":"","value":1032.5,"tax":197.11,"shipping":4.95,"coupon":"","items":[{"item_id":77,"item_name":"Tea \u003Ccups\u003E","price":516.25,"quantity":2}]}};
	dataLayer.push( dataLayer_content );
</script>
<script data-cfasync="false">(function(w,d,s,l,i){w[l]=w[l]||[];w[l].push({'gtm.start':new Date().getTime(),event:'gtm.js'});var f=d.getElementsByTagName(s)[0];})(window,document,'script','dataLayer','GTM-XXXX');</script>"#,
            expected: vec![
                (data_layer("ecommerce.transaction_id"), Some(json!("10042"))),
                (data_layer("ecommerce.value"), Some(json!(1032.5))),
                (
                    data_layer("ecommerce.items"),
                    Some(json!([{ "item_id": 77, "item_name": "Tea <cups>", "price": 516.25, "quantity": 2 }])),
                ),
                (data_layer("ecommerce.items[0].item_id"), Some(json!(77))),
                (data_layer("orderData.customer.billing.email"), Some(json!("buyer@example.com"))),
                (data_layer("orderData.attributes.payment_method_title"), Some(json!("K\u{e4}uferschutz & Co"))),
                (data_layer("event"), Some(json!("purchase"))),
                (data_layer("gtm.start"), None),
            ],
            shown: vec![],
            absent: vec![],
        },
        Shop {
            name: "GTM4WP 1, universal analytics",
            page: r#"<script>
/* <![CDATA[ */
window.dataLayer = window.dataLayer || [];
	window.dataLayer.push({"event":"gtm4wp.orderCompletedEEC","ecommerce":{"currencyCode":"USD","purchase":{"actionField":{"id":"0815","affiliation":"","revenue":"1,234.50","tax":0,"shipping":"0.00","coupon":""},"products":[{"id":"SKU-1","name":"5\" pipe","price":"1234.50","quantity":1}]}}});
/* ]]> */
</script>"#,
            expected: vec![
                (data_layer("ecommerce.purchase.actionField.id"), Some(json!("0815"))),
                (data_layer("ecommerce.purchase.actionField.revenue"), Some(json!("1,234.50"))),
                (data_layer("ecommerce.purchase.products[0].name"), Some(json!("5\" pipe"))),
                (data_layer("ecommerce.currencyCode"), Some(json!("USD"))),
            ],
            shown: vec![],
            absent: vec![],
        },
        Shop {
            name: "Shopware 6, DTGS",
            page: r#"<script>window.dataLayer.push({ecommerce: null});
window.dataLayer.push({"pageTitle":"Vielen Dank","transactionId":"null","transactionTotal":94.9});
window.dataLayer.push({ ecommerce: null });
window.dataLayer.push({"event":"purchase","ecommerce":{"transaction_id":"10001","value":94.9,"currency":"EUR","items":[{"item_name":"Tasse","price":89.91,"quantity":1,},]}});
</script>"#,
            expected: vec![
                (data_layer("ecommerce.transaction_id"), Some(json!("10001"))),
                (data_layer("ecommerce.value"), Some(json!(94.9))),
                (data_layer("transactionId"), Some(json!("null"))),
                (data_layer("ecommerce.items.0.price"), Some(json!(89.91))),
            ],
            shown: vec![],
            absent: vec![],
        },
        Shop {
            name: "schema.org in a graph",
            page: r#"<script type="application/ld+json">{"@context":"https://schema.org","@graph":[{"@type":"Organization","name":"Shop"},
{"@type":["Order"],"orderNumber":"SO-0099","totalPaymentDue":{"@type":"PriceSpecification","price":"49.00","priceCurrency":"GBP"}}]}</script>"#,
            expected: vec![
                (json_ld("orderNumber"), Some(json!("SO-0099"))),
                (json_ld("totalPaymentDue.price"), Some(json!("49.00"))),
                (json_ld("totalPaymentDue[0].priceCurrency"), Some(json!("GBP"))),
                (json_ld("name"), None),
            ],
            shown: vec![],
            absent: vec![],
        },
    ]
}

fn events() -> Vec<Shop> {
    vec![
        Shop {
            name: "ps_googleanalytics",
            page: r#"<script type="text/javascript">
      document.addEventListener('DOMContentLoaded', function() {
        if (typeof gtag !== 'undefined') {
          gtag("event", "add_payment_info", {"send_to": "G-XXXX", "value": 94.9, "currency": "EUR"});
          gtag("event", "purchase", {"transaction_id": 42, "affiliation": "Shop", "value": 94.9, "tax": 15.15, "shipping": 4.99, "currency": "EUR", "items": [{"item_id": 7, "price": 89.91}], "event_callback": function() { $.get("https://shop.example/module/ps_googleanalytics/ajax", {"orderid": 42, "customer": 3}); }});
        }
      });
</script>"#,
            expected: vec![
                (data_layer("event"), Some(json!("purchase"))),
                (data_layer("transaction_id"), Some(json!(42))),
                (data_layer("value"), Some(json!(94.9))),
                (data_layer("event_callback"), None),
                (data_layer("orderid"), None),
            ],
            shown: vec![],
            absent: vec![],
        },
        Shop {
            name: "OpenMage",
            page: r#"<script type="text/javascript">
//<![CDATA[
    window.dataLayer = window.dataLayer || [];
    function gtag(){dataLayer.push(arguments);}
    gtag('js', new Date());
    gtag('config', 'G-XXXX', {"debug_mode":false});
gtag('event', 'purchase', {"currency":"USD","transaction_id":"100000007","value":"1234.50","coupon":"","shipping":"5.00","tax":"0.00","items":[{"item_id":"a\/b","item_name":"It\u0027s","price":"1229.50","quantity":1}]});
//]]>
</script>"#,
            expected: vec![
                (data_layer("transaction_id"), Some(json!("100000007"))),
                (data_layer("value"), Some(json!("1234.50"))),
                (data_layer("items[0].item_id"), Some(json!("a/b"))),
                (data_layer("items[0].item_name"), Some(json!("It's"))),
            ],
            shown: vec![],
            absent: vec![],
        },
        Shop {
            name: "django-oscar",
            page: r"<script>
gtag('event', 'purchase', {
    'transaction_id': '100001',
    'value': '25.00',
    'currency': 'GBP',
    items: [
        {
            'id': 'B\u002D1', // the SKU
            'quantity': '2',
        },
    ]
});
</script>",
            expected: vec![
                (data_layer("transaction_id"), Some(json!("100001"))),
                (data_layer("value"), Some(json!("25.00"))),
                (data_layer("items[0].id"), Some(json!("B-1"))),
            ],
            shown: vec![],
            absent: vec![],
        },
        Shop {
            name: "what would have to run",
            page: r"<script>var total = 12.5, order = load();
dataLayer.push({event: 'purchase', value: total, id: order.id, sum: 12.5 + 1, text: '12' + '.5', fee: parseFloat('1'), currency: 'EUR'});
// dataLayer.push({value: 1});
document.write('<script>dataLayer.push({value: 2})<\/script>');
ga('ec:setAction', 'purchase', {value: 3}); _gaq.push(['_addTrans', '77', 'Shop', '12.50']);
window.ga4w = { data: {order: {id: 9, totals: {total_price: 1250, currency_minor_unit: 2}}} };
</script>",
            expected: vec![
                (data_layer("value"), None),
                (data_layer("id"), None),
                (data_layer("sum"), None),
                (data_layer("text"), None),
                (data_layer("fee"), None),
                (data_layer("data.order.id"), None),
                (data_layer("currency"), Some(json!("EUR"))),
            ],
            shown: vec![],
            absent: vec![],
        },
    ]
}
