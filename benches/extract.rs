//! What reading a thank-you page costs: 30 KB with an order in its markup, in schema.org data and in a
//! data layer, whole and in chunks of 4 KB, each kind of source alone and all of them together.

#![expect(clippy::expect_used, reason = "a rule that is wrong is a mistake of this file")]

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throughline::html::extract::{Extractor, Mark, PageField, PageRule};

fn extract(criterion: &mut Criterion) {
    let page = page(30_000);
    let mut group = criterion.benchmark_group("extract");
    group.throughput(Throughput::Bytes(page.len() as u64));
    let all = [&html(), &json_ld(), &data_layer()].map(Vec::as_slice).concat();
    let rules = [("html", html()), ("json_ld", json_ld()), ("data_layer", data_layer()), ("all", all)];
    for (name, fields) in rules {
        let asked = fields.len();
        let rule = Arc::new(PageRule::new(fields, vec![Mark::Text("Thank you".to_owned())]).expect("a rule"));
        assert_eq!(read(&page, page.len(), &rule, asked), asked + 1, "{name}: not all was found");
        for (chunks, size) in [("whole", page.len()), ("4_kb_chunks", 4096)] {
            group.bench_function(BenchmarkId::new(name, chunks), |bencher| {
                bencher.iter(|| read(black_box(&page), size, &rule, asked));
            });
        }
    }
    group.finish();
}

/// Reads a page as it passes; yields how many fields and marks were found.
fn read(page: &[u8], size: usize, rule: &Arc<PageRule>, asked: usize) -> usize {
    let mut extractor = Extractor::new(rule, Some("utf-8"));
    for chunk in page.chunks(size) {
        extractor.write(chunk);
    }
    let reading = extractor.finish();
    (0..asked).filter(|field| reading.value(*field).is_some()).count() + usize::from(reading.has_mark(0))
}

fn html() -> Vec<PageField> {
    let field = |css: &str| PageField::Html { css: css.to_owned(), attribute: None };
    vec![field("#order strong"), field(".total .amount")]
}

fn json_ld() -> Vec<PageField> {
    ["orderNumber", "acceptedOffer.price"].map(|path| PageField::JsonLd(path.parse().expect("a path"))).into()
}

fn data_layer() -> Vec<PageField> {
    ["ecommerce.value", "ecommerce.items"].map(|path| PageField::DataLayer(path.parse().expect("a path"))).into()
}

/// A shop's page with its list of products, and the order at its end.
fn page(length: usize) -> Vec<u8> {
    let mut page = b"<!doctype html><html><head><title>Shop</title></head><body><ul>\n".to_vec();
    while page.len() + ORDER.len() < length {
        page.extend_from_slice(b"<li class=\"product\"><a href=\"/p/1\">A product</a> <b>9.90</b></li>\n");
    }
    page.extend_from_slice(ORDER.as_bytes());
    page
}

const ORDER: &str = r#"</ul><h1>Thank you for your order</h1>
<p id="order">Your number: <strong>100000123</strong></p>
<p class="total">Total: <span class="amount">&euro; 1.234,56</span></p>
<script type="application/ld+json">
{"@context": "https://schema.org", "@type": "Order", "orderNumber": "100000123",
 "acceptedOffer": {"@type": "Offer", "price": "1234.56", "priceCurrency": "EUR"}}
</script>
<script>
  window.dataLayer = window.dataLayer || [];
  dataLayer.push({ecommerce: null});
  dataLayer.push({event: 'purchase', ecommerce: {transaction_id: '100000123', value: 1234.56, currency: 'EUR',
    items: [{item_id: 'GY-1', item_name: 'Gyokuro', price: 395.00, quantity: 3}]}});
</script>
</body></html>
"#;

criterion_group!(benches, extract);
criterion_main!(benches);
