//! Pages that people have really written, from packages of npm and Debian, byte for byte.
//!
//! They pass unchanged in every coding, and as thank-you pages they get their pixels where a browser shows
//! them. Which pages, from where and under which licence: `tests/data/pages/real/manifest.json`.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    cases::{Case, Page},
    expected::{Mode, insertion},
    road::{Findings, ORIGINS, compare, enabled},
};
use crate::support::{await_fact, browser::Browser, config::HOSTS, origin::Origin, response::Response, twin::Reply};

/// One page with what is known of it.
struct RealPage {
    file: String,
    charset: String,
    /// No image can live in it.
    is_frameset: bool,
    sha256: String,
    bytes: Vec<u8>,
    /// As a server would keep it, compressed by Google's own encoder at its best.
    br: Vec<u8>,
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", "pages", "real"].iter().collect()
}

fn pages() -> Vec<RealPage> {
    let manifest: Vec<Value> =
        serde_json::from_slice(&fs::read(folder().join("manifest.json")).unwrap()).expect("a manifest");
    let page = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("{key} of {entry}")).to_owned();
        assert!(
            ["MIT", "Apache-2.0", "MIT OR Apache-2.0", "BSD-2-Clause", "BSD-3-Clause"]
                .contains(&text("licence").as_str())
        );
        assert!(!text("package").is_empty() && !text("version").is_empty() && !text("path").is_empty());
        let file = text("file");
        RealPage {
            bytes: fs::read(folder().join(&file)).unwrap(),
            br: fs::read(folder().join(format!("{file}.br"))).unwrap(),
            charset: text("charset"),
            is_frameset: entry["frameset"].as_bool().expect("frameset"),
            sha256: text("sha256"),
            file,
        }
    };
    manifest.iter().map(page).collect()
}

impl RealPage {
    /// The page in this coding.
    fn case(&self, coding: &str) -> Case {
        let body = match coding {
            "gzip" => super::cases::gzip(&self.bytes),
            "zstd" => zstd::encode_all(&self.bytes[..], 0).unwrap(),
            "br" => self.br.clone(),
            _ => self.bytes.clone(),
        };
        let reply = Reply::typed(&self.content_type(), body).header("ETag", "\"1\"").header("Vary", "Accept-Encoding");
        let reply = if coding == "plain" { reply } else { reply.header("Content-Encoding", coding) };
        let page = match coding {
            _ if self.is_frameset => Page::Inert,
            "plain" => Page::Plain,
            _ => Page::Encoded,
        };
        Case::real(&format!("{} in {coding}", self.file), reply, page)
    }

    fn content_type(&self) -> String {
        format!("text/html; charset={}", self.charset)
    }
}

fn compare_all(mode: Mode) {
    let pages = pages();
    let cases: Vec<Case> = pages.iter().flat_map(|page| CODINGS.map(|coding| page.case(coding))).collect();
    let findings = enabled(&ORIGINS).map(|origin| compare(&cases, mode, origin)).reduce(Findings::and);
    findings.expect("a kind of site").assert_same();
}

#[test]
fn the_pages_are_the_ones_of_their_packages() {
    let pages = pages();
    let (mut total, mut names) =
        (0, BTreeSet::from(["manifest.json".to_owned(), "LICENCES.txt".into(), ".gitattributes".into()]));
    for page in &pages {
        let mut digest = String::new();
        for byte in Sha256::digest(&page.bytes) {
            write!(digest, "{byte:02x}").unwrap();
        }
        assert_eq!(digest, page.sha256, "{} was changed", page.file);
        let mut plain = Vec::new();
        let mut decoder = brotli_decompressor::Decompressor::new(&page.br[..], 4096);
        std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
        assert!(plain == page.bytes, "{}.br is another page", page.file);
        total += page.bytes.len() + page.br.len();
        names.extend([page.file.clone(), format!("{}.br", page.file)]);
    }
    let files: BTreeSet<String> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, names);
    assert!(pages.len() >= 40 && total < 4 << 20, "{} pages, {total} bytes", pages.len());
    println!("{} pages, {total} bytes", pages.len());
}

#[test]
fn every_real_page_is_the_same_in_every_coding() {
    compare_all(Mode::Passing);
}

#[test]
fn every_real_page_gets_one_insertion_in_every_coding() {
    compare_all(Mode::Converting);
}

/// Chromium's own parser decides. It gets the edited pages as documents that run no scripts and fetch
/// nothing.
#[test]
fn a_browser_finds_the_pixels_in_the_body_of_every_real_page() {
    let pages = pages();
    let edited = |page: &RealPage| throughline::html::inject::inject_whole(&page.bytes, &insertion());
    let mut origin = Origin::start();
    for page in &pages {
        let response = Response::new(200).header("Content-Type", &page.content_type());
        origin = origin.route(&format!("/{}", page.file), response.clone().body(edited(page)));
        origin = origin.route(&format!("/before/{}", page.file), response.body(&page.bytes));
    }
    let mut browser = Browser::start();
    let window = browser.window();
    let tab = browser.open(&window, &format!("http://{}/", origin.address()));
    for page in &pages {
        let script = SCRIPT.replace("FILE", &page.file).replace("HOSTS", &serde_json::to_string(&HOSTS).unwrap());
        browser.evaluate(&tab, &script);
        let found = await_fact(
            || browser.evaluate(&tab, "window.found").as_object().cloned(),
            || format!("{} in the browser", page.file),
        );
        let pixels = if page.is_frameset { 0 } else { HOSTS.len() };
        assert_eq!(found["pixels"], pixels, "{}: {found:?}", page.file);
        assert_eq!(found["inBody"], pixels, "{}: {found:?}", page.file);
        // Without the pixels it is the document that it was.
        assert_eq!(found["same"], true, "{}: {found:?}", page.file);
    }
    println!("{} pages in Chromium", pages.len());
}

const CODINGS: [&str; 4] = ["plain", "gzip", "br", "zstd"];

/// Counts the pixels of a page; `document.images` knows none in scripts, comments, templates or text areas.
const SCRIPT: &str = "window.found = null; (async () => {
    const load = path => new Promise(done => {
        const request = new XMLHttpRequest();
        request.open('GET', path);
        request.responseType = 'document';
        request.onload = () => done(request.response);
        request.send();
    });
    const page = await load('/FILE'), before = await load('/before/FILE');
    const all = [...page.images].filter(image => HOSTS.some(host => image.src.startsWith(`https://${host}/tag.php?goal=`)));
    const inBody = all.filter(image => page.body.contains(image) && !image.closest('noscript, template, svg, math, select, textarea'));
    all.forEach(image => image.remove());
    page.normalize(); before.normalize();
    window.found = { pixels: all.length, inBody: inBody.length, same: page.documentElement.outerHTML === before.documentElement.outerHTML };
})()";
