//! The address of a request as the site sees it: without click parameters, where it is spared them.
//!
//! A site has no use for them: they split its caches by visitor and fill its logs. What is left of the
//! query stays as it was written, byte for byte.

use super::{network::Mode, site::SiteRules, value::is_name};

/// A request target without the click parameters of all networks that act on the site.
///
/// `None` when nothing is to be changed. Invalid click IDs go too; of observing networks, whose
/// presence must not show, everything stays.
#[must_use]
pub fn spared_target(site: &SiteRules, target: &[u8]) -> Option<Vec<u8>> {
    if !site.strip_click_params {
        return None;
    }
    let acting = |name: &str| {
        site.networks.iter().any(|network| site.mode_of(network) == Mode::On && is_name(name, &network.click.param))
    };
    without_parameters(target, acting)
}

fn without_parameters(target: &[u8], is_unwanted: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let question = memchr::memchr(b'?', target)?;
    let (path, query) = (target.get(..question)?, target.get(question + 1..)?);
    let is_kept = |pair: &&[u8]| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        // Bytes that are no text name no parameter of ours.
        !std::str::from_utf8(name).is_ok_and(&is_unwanted)
    };
    if pairs(query).all(|pair| is_kept(&pair)) {
        return None;
    }
    let mut spared = Vec::with_capacity(target.len());
    spared.extend_from_slice(path);
    for (index, pair) in pairs(query).filter(is_kept).enumerate() {
        spared.push(if index == 0 { b'?' } else { b'&' });
        spared.extend_from_slice(pair);
    }
    Some(spared)
}

fn pairs(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|byte| *byte == b'&')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spared(target: &str) -> Option<String> {
        let spared = without_parameters(target.as_bytes(), |name| is_name(name, "exotracker") || is_name(name, "a b"));
        spared.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_click_parameter_goes_and_the_rest_stays_as_it_was() {
        for (target, left) in [
            ("/?a=1&exotracker=x&b=2", "/?a=1&b=2"),
            ("/?exotracker=x", "/"),
            ("/?exotracker", "/"),
            ("/p?exotracker=x&a=1", "/p?a=1"),
            ("/p?a=1&exotracker=x", "/p?a=1"),
            ("/?exotracker=x&exotracker=y", "/"),
            ("/?a&exotracker=x&a", "/?a&a"),
            ("/?a=1&&exotracker=x&&b=%2f;c+d", "/?a=1&&&b=%2f;c+d"),
            ("/?%65xotracker=x&b", "/?b"),
            ("/?a+b=1&a%20b=2&c", "/?c"),
            ("/?exotracker=a?b=c&d?exotracker=1", "/?d?exotracker=1"),
            ("/?exotracker=x&", "/?"),
            ("http://shop.example/?exotracker=x&b=2", "http://shop.example/?b=2"),
        ] {
            assert_eq!(spared(target).as_deref(), Some(left), "{target}");
        }
    }

    #[test]
    fn an_address_without_it_is_not_touched() {
        for target in [
            "/",
            "/?",
            "*",
            "",
            "/exotracker=x",
            "/?EXOTRACKER=x",
            "/?exotracker2=x",
            "/?a=exotracker",
            "/?a;exotracker=x",
        ] {
            assert_eq!(spared(target), None, "{target}");
        }
        assert_eq!(without_parameters(b"/?\xff\xfe=1", |name| name == "exotracker"), None);
        let mixed = without_parameters(b"/\xff?\xfe&exotracker=\xff&b=\xfd", |name| name == "exotracker");
        assert_eq!(mixed.as_deref(), Some(b"/\xff?\xfe&b=\xfd".as_slice()));
    }

    proptest! {
        #[test]
        fn what_is_left_are_the_other_pairs_byte_for_byte(
            pairs in prop::collection::vec("(exotracker|%65xotracker|[a-c%;+/?é]{0,3})(=[a-c%;+=/?é]{0,4})?", 0..8),
        ) {
            let is_click = |pair: &&String| {
                ["exotracker", "%65xotracker"].contains(&pair.split('=').next().unwrap_or_default())
            };
            let target = format!("/path?{}", pairs.join("&"));
            let others: Vec<&String> = pairs.iter().filter(|pair| !is_click(pair)).collect();
            let left = spared(&target);
            if others.len() == pairs.len() {
                prop_assert_eq!(left, None);
            } else if others.is_empty() {
                prop_assert_eq!(left.as_deref(), Some("/path"));
            } else {
                let others: Vec<&str> = others.into_iter().map(String::as_str).collect();
                prop_assert_eq!(left, Some(format!("/path?{}", others.join("&"))));
            }
        }

        #[test]
        fn no_target_makes_it_panic(target in prop::collection::vec(any::<u8>(), 0..64)) {
            let left = without_parameters(&target, |name| is_name(name, "e"));
            prop_assert!(left.is_none_or(|left| left.len() < target.len()));
        }
    }
}
