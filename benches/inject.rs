//! What the streaming edit of a page costs: pages of 30 and 100 KB, whole and in chunks of 4 KB, with
//! and without a `</body>`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throughline::html::{
    inject::Injector,
    pixel::{Referrer, pixel_markup},
};

fn inject(criterion: &mut Criterion) {
    let urls: Vec<String> = (0..11).map(|n| format!("https://n{n}.example/tag.php?goal=0123456789abcdef")).collect();
    let insertion = pixel_markup(urls.iter().map(String::as_str), Referrer::Page);
    let mut group = criterion.benchmark_group("inject");
    for (kilobytes, ending) in [30, 100].into_iter().flat_map(|size| [(size, "body"), (size, "no_body")]) {
        let page = page(kilobytes * 1000, ending == "body");
        group.throughput(Throughput::Bytes(page.len() as u64));
        for (chunks, size) in [("whole", page.len()), ("4_kb_chunks", 4096)] {
            let name = BenchmarkId::new(format!("{kilobytes}_kb_{ending}"), chunks);
            group.bench_function(name, |bencher| bencher.iter(|| edit(black_box(&page), size, &insertion)));
        }
    }
    group.finish();
}

/// Edits a page the way the proxy does; what passes unchanged is not copied.
fn edit(page: &[u8], size: usize, insertion: &[u8]) -> usize {
    let mut injector = Injector::new();
    let mut sent = 0;
    for chunk in page.chunks(size) {
        let passed = injector.write(chunk);
        sent += passed.before.len() + passed.keep;
    }
    sent + injector.finish(insertion).len()
}

/// A page that looks like a shop's list: a tag every 60 bytes or so.
fn page(length: usize, has_body_end: bool) -> Vec<u8> {
    let item = "<li class=\"product\"><a href=\"/p/1\">A product</a> <b>9.90</b></li>\n";
    let mut page = b"<!doctype html><html><head><title>Shop</title></head><body><ul>\n".to_vec();
    while page.len() < length {
        page.extend_from_slice(item.as_bytes());
    }
    if has_body_end {
        page.extend_from_slice(b"</ul></body></html>\n");
    }
    page
}

criterion_group!(benches, inject);
criterion_main!(benches);
