//! The line of a request that nobody has finished.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use prometheus::IntCounter;

use super::*;
use crate::{
    access::{AccessFormat, AccessRules, QueryRule},
    config::{Config, Environment},
    metrics::Metrics,
    proxy::{
        edition::Edition,
        runtime::{SiteTable, Tracker},
        service::Busy,
    },
    store::{Retention, Store},
    tracking::site::StoredAddress,
};

fn edition(folder: &Path) -> Arc<Edition> {
    let text = "sites: [{ name: shop, upstream: 'http://127.0.0.1:1' }]";
    let config = Config::parse(Path::new("test.yaml"), text, Environment::Process).expect("a configuration");
    let metrics = Arc::new(Metrics::new());
    let (store, _fresh) = Store::start(folder, Retention::default(), metrics.clone());
    let tracker = Tracker::new(&config, None, store, &metrics, &crate::events::Bus::default());
    let table = SiteTable::new(&config).expect("upstreams");
    Arc::new(Edition { tracker, table, limits: config.server.limits })
}

#[tokio::test]
async fn a_request_that_panics_has_its_line_and_one_that_is_only_dropped_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let (edition, busy) = (edition(folder.path()), Busy::default());
    let access = AccessLog::new(IntCounter::new("dropped", "dropped").unwrap());
    let file = folder.path().join("access.log");
    let format = AccessFormat::Json;
    access.set(Some(&AccessRules {
        file: file.clone(),
        format,
        query: QueryRule::Drop,
        client_ip: StoredAddress::Full,
    }));
    let begun = |target: &str, told: Option<u16>| {
        let mut ctx = Context::new(Arc::clone(&edition), &busy, clock::instant());
        let head = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        ctx.entry = Some(Entry { access: access.clone(), asked: asked_of(&head, &access) });
        ctx.site = edition.tracker.sites.first().map(|site| (0, Arc::clone(site)));
        ctx.told = told;
        ctx
    };
    drop(begun("/dropped", None));
    for (target, told) in [("/early?secret=1", None), ("/late", Some(200))] {
        let ctx = begun(target, told);
        let ended = catch_unwind(AssertUnwindSafe(move || {
            let _under_way = ctx;
            std::panic::resume_unwind(Box::new("a fault"));
        }));
        assert!(ended.is_err());
    }
    assert!(busy.is_idle());
    access.close();
    #[expect(clippy::disallowed_methods, reason = "a test reads the file of its own folder")]
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = lines.iter().map(|line| (line["target"].as_str(), line["status"].as_u64())).collect();
    assert_eq!(seen, [(Some("/early"), Some(500)), (Some("/late"), Some(200))]);
    assert!(lines.iter().all(|line| line["ending"] == "failed" && line["site"] == "shop"), "{text}");
}
