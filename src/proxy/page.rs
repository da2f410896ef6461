//! What a site's rules read of its pages, compiled once.

use std::sync::Arc;

use crate::{
    html::extract::{self, Extractor, PageField, PageRule},
    tracking::{
        conversion::Mark,
        site::SiteRules,
        value::{PageSource, PageValues, Source},
        visit::AnswerBody,
    },
};

/// All places and marks that the conversions and captures of a site read in pages.
#[derive(Debug)]
pub struct PagePlan {
    rule: Arc<PageRule>,
    sources: Vec<PageSource>,
    marks: Vec<Mark>,
}

impl PagePlan {
    /// Compiles what a site reads; `None` when it reads nothing, or nothing that can be compiled: the
    /// configuration has refused that before.
    #[must_use]
    pub fn new(site: &SiteRules) -> Option<Self> {
        let mut sources: Vec<PageSource> = Vec::new();
        let conversions = site.conversions.iter().flat_map(|rule| rule.sources());
        let captures = site.captures.iter().flat_map(|rule| rule.sources());
        for source in conversions.chain(captures) {
            if let Source::Page(place) = source
                && !sources.contains(place)
            {
                sources.push(place.clone());
            }
        }
        let proofs = site.conversions.iter().map(|rule| &rule.proof);
        let mut marks: Vec<Mark> = Vec::new();
        for mark in proofs.flat_map(|proof| proof.success.iter().chain(&proof.failure)) {
            if !marks.contains(mark) {
                marks.push(mark.clone());
            }
        }
        if sources.is_empty() && marks.is_empty() {
            return None;
        }
        let fields = sources.iter().map(field).collect::<Option<Vec<_>>>()?;
        let shown = marks.iter().map(|mark| match mark {
            Mark::Text(text) => extract::Mark::Text(text.clone()),
            Mark::Html(css) => extract::Mark::Html(css.clone()),
        });
        let rule = PageRule::new(fields, shown.collect()).ok()?;
        Some(Self { rule: Arc::new(rule), sources, marks })
    }

    /// Begins to read a page; `charset` is what its head says of it.
    #[must_use]
    pub fn extractor(&self, charset: Option<&str>) -> Extractor {
        Extractor::new(&self.rule, charset)
    }

    /// What a page has shown.
    #[must_use]
    pub fn read(&self, extractor: Extractor) -> AnswerBody {
        let reading = extractor.finish();
        let sources = self.sources.iter().enumerate();
        let values = sources.filter_map(|(index, source)| Some((source.clone(), reading.value(index)?.clone())));
        let page: PageValues = values.collect();
        let marks = self.marks.iter().enumerate().filter(|(index, _)| reading.has_mark(*index));
        AnswerBody { page, marks: marks.map(|(_, mark)| mark.clone()).collect(), ..AnswerBody::default() }
    }
}

fn field(source: &PageSource) -> Option<PageField> {
    Some(match source {
        PageSource::Html { css, attribute } => PageField::Html { css: css.clone(), attribute: attribute.clone() },
        PageSource::JsonLd(path) => PageField::JsonLd(path.parse().ok()?),
        PageSource::DataLayer(path) => PageField::DataLayer(path.parse().ok()?),
    })
}
