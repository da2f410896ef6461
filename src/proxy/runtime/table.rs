//! Which site answers for a host, and what stands behind each site.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderValue, header};
use ipnet::IpNet;
use pingora::{http::RequestHeader, server::configuration::ServerConf};

use crate::{
    config::{Config, HostPattern, Site},
    proxy::upstream::{self, InvalidUpstream, Upstream},
    tracking::site::normal_host,
};

/// Sites by the host they answer for.
#[derive(Debug)]
pub struct SiteTable {
    exact: HashMap<String, usize>,
    /// The longest suffix first.
    below: Vec<(String, usize)>,
    otherwise: Option<usize>,
    upstreams: Vec<Arc<Upstream>>,
    settings: Arc<ServerConf>,
    error_pages: Vec<BTreeMap<u16, Bytes>>,
    trusted: Vec<IpNet>,
}

impl SiteTable {
    /// Lays out the hosts of a configuration.
    ///
    /// # Errors
    ///
    /// When a file that an upstream needs cannot be used.
    pub fn new(config: &Config) -> Result<Self, InvalidUpstream> {
        let upstreams = upstreams(config)?;
        let settings = upstream::settings(&upstreams)?;
        Ok(Self::with(config, upstreams, Arc::new(settings)))
    }

    /// Lays out the hosts of another configuration; servers that stay are the same servers.
    ///
    /// # Errors
    ///
    /// When a file that an upstream needs cannot be used.
    pub fn succeeding(&self, config: &Config) -> Result<Self, InvalidUpstream> {
        let mut upstreams = upstreams(config)?;
        upstream::check_settings(&self.settings, &upstreams)?;
        for upstream in &mut upstreams {
            if let Some(known) = self.upstreams.iter().find(|known| known.is_like(upstream)) {
                *upstream = Arc::clone(known);
            }
        }
        Ok(Self::with(config, upstreams, Arc::clone(&self.settings)))
    }

    fn with(config: &Config, upstreams: Vec<Arc<Upstream>>, settings: Arc<ServerConf>) -> Self {
        let mut table = Self {
            exact: HashMap::new(),
            below: Vec::new(),
            otherwise: None,
            settings,
            upstreams,
            error_pages: config.sites.iter().map(|site| site.error_pages.clone()).collect(),
            trusted: config.server.trusted_proxies.clone(),
        };
        for (index, site) in config.sites.iter().enumerate() {
            if site.hosts.is_empty() {
                table.otherwise = Some(index);
            }
            for host in &site.hosts {
                match host {
                    HostPattern::Exact(host) => {
                        table.exact.insert(host.clone(), index);
                    }
                    HostPattern::Below(suffix) => table.below.push((suffix.clone(), index)),
                }
            }
        }
        table.below.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        table
    }

    /// Which site answers a request.
    #[must_use]
    pub fn find(&self, request: &RequestHeader) -> Option<usize> {
        if self.exact.is_empty() && self.below.is_empty() {
            return self.otherwise;
        }
        let host = request.headers.get(header::HOST).map(HeaderValue::as_bytes);
        self.find_host(host.or_else(|| request.uri.host().map(str::as_bytes)).unwrap_or_default())
    }

    /// Which site answers for a host, as it is asked for.
    #[must_use]
    pub fn find_host(&self, host: &[u8]) -> Option<usize> {
        let host = normal_host(std::str::from_utf8(host).ok()?);
        self.exact.get(&*host).copied().or_else(|| {
            let below = self.below.iter().find(|(suffix, _)| host.ends_with(suffix.as_str()));
            below.map(|(_, index)| *index).or(self.otherwise)
        })
    }

    /// The server behind a site.
    #[must_use]
    pub fn upstream(&self, site: usize) -> Option<&Arc<Upstream>> {
        self.upstreams.get(site)
    }

    /// What visitors of a site see when its server fails, if the operator has said.
    #[must_use]
    pub fn error_page(&self, site: usize, status: u16) -> Option<&Bytes> {
        self.error_pages.get(site)?.get(&status)
    }

    /// The servers behind all sites.
    #[must_use]
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// What Pingora is to know about them all.
    #[must_use]
    pub fn settings(&self) -> &Arc<ServerConf> {
        &self.settings
    }

    /// Whether this peer's `X-Forwarded-*` is believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|net| net.contains(&peer))
    }
}

/// The servers behind each site.
fn upstreams(config: &Config) -> Result<Vec<Arc<Upstream>>, InvalidUpstream> {
    let upstream = |site: &Site| {
        let host = site.hosts.iter().find_map(|host| match host {
            HostPattern::Exact(host) => Some(host.as_str()),
            HostPattern::Below(_) => None,
        });
        Upstream::new(&site.upstream, &site.rules.name, host).map(Arc::new)
    };
    config.sites.iter().map(upstream).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    #[test]
    fn the_longest_match_wins_and_the_rest_goes_to_the_site_without_hosts() {
        let text = "
sites:
  - { name: a, hosts: [shop.example, '*.example'], upstream: 'http://127.0.0.1:1' }
  - { name: b, hosts: ['*.shop.example'], upstream: 'http://127.0.0.1:2' }
  - { name: c, upstream: 'http://127.0.0.1:3' }
";
        let config = Config::parse(Path::new("test.yaml"), text, Environment::Process).expect("a configuration");
        let table = SiteTable::new(&config).expect("upstreams");
        for (host, site) in [
            ("shop.example", Some(0)),
            ("Shop.Example.:8080", Some(0)),
            ("www.shop.example", Some(1)),
            ("other.example", Some(0)),
            ("example", Some(2)),
            ("[::1]:80", Some(2)),
        ] {
            assert_eq!(table.find_host(host.as_bytes()), site, "{host}");
        }
    }

    #[test]
    fn servers_that_stay_are_the_same_and_others_are_not() {
        let table = |text: &str, before: Option<&SiteTable>| {
            let config = Config::parse(Path::new("test.yaml"), text, Environment::Process).expect("a configuration");
            before.map_or_else(|| SiteTable::new(&config), |before| before.succeeding(&config)).expect("upstreams")
        };
        let before = "
sites:
  - { name: a, hosts: [a.example], upstream: 'http://127.0.0.1:1' }
  - { name: b, hosts: [b.example], upstream: 'http://127.0.0.1:2' }
  - { name: c, hosts: [c.example], upstream: 'http://127.0.0.1:3' }
";
        let after = "
sites:
  - { name: d, hosts: [d.example], upstream: 'http://127.0.0.1:1' }
  - { name: c, hosts: [c.example], upstream: { url: 'http://127.0.0.1:3', read_timeout: 9s } }
  - { name: b, hosts: [b.example], csp: respect, upstream: { url: 'http://127.0.0.1:2' } }
";
        let before = table(before, None);
        let after = table(after, Some(&before));
        let is_kept = |upstream: &Arc<Upstream>| before.upstreams.iter().any(|known| Arc::ptr_eq(known, upstream));
        assert_eq!(after.upstreams.iter().map(is_kept).collect::<Vec<_>>(), [false, false, true]);
    }
}
