//! Whether one policy lets a script in the page's own text run, and what it would have to say for that.
//!
//! Such a script runs by a nonce; its hash would do, too, but a page that has nonces for its own scripts
//! shows that it wants them (CSP3, "Does element match source list for type and source?").

use super::policy::{self, Directive};

/// Whether a policy lets a script with this nonce run.
pub(super) fn allows(policy: &[u8], nonce: Option<&str>) -> bool {
    governing(policy).is_none_or(|directive| {
        allows_all(directive.sources) || nonce.is_some_and(|nonce| nonces(directive.sources).any(|it| it == nonce))
    })
}

/// A nonce by which a policy lets scripts run.
pub(super) fn nonce(policy: &[u8]) -> Option<&str> {
    nonces(governing(policy)?.sources).next()
}

/// The policy with the nonce in it; `None` when it does not need it.
///
/// It is never added to a list that lets all scripts of the page run: beside it, that would count no more.
pub(super) fn amend(policy: &[u8], nonce: &str) -> Option<Vec<u8>> {
    if allows(policy, Some(nonce)) {
        return None;
    }
    let Directive { name, sources, end } = governing(policy)?;
    let is_none = sources.eq_ignore_ascii_case("'none'");
    let (cut, insertion) = if name.eq_ignore_ascii_case("default-src") {
        // Styles obey the same list, and mean something else by a nonce.
        let kept = if is_none { String::new() } else { format!("{sources} ") };
        (end, format!("; script-src {kept}'nonce-{nonce}'"))
    } else if is_none {
        (end - sources.len(), format!("'nonce-{nonce}'"))
    } else {
        (end, format!(" 'nonce-{nonce}'"))
    };
    Some([policy.get(..cut)?, insertion.as_bytes(), policy.get(end..)?].concat())
}

fn governing(policy: &[u8]) -> Option<Directive<'_>> {
    policy::first_of(&["script-src-elem", "script-src", "default-src"], policy)
}

/// `'unsafe-inline'`, where nothing beside it takes its meaning away (CSP3, "Does a source list allow all
/// inline behavior for type?").
fn allows_all(sources: &str) -> bool {
    let overrules = |source: &str| {
        let source = source.to_ascii_lowercase();
        source == "'strict-dynamic'"
            || ["'nonce-", "'sha256-", "'sha384-", "'sha512-"].iter().any(|start| source.starts_with(start))
    };
    let mut each = sources.split_ascii_whitespace();
    each.any(|source| source.eq_ignore_ascii_case("'unsafe-inline'"))
        && !sources.split_ascii_whitespace().any(overrules)
}

/// The nonces of a list, as far as they can stand in an element of ours.
fn nonces(sources: &str) -> impl Iterator<Item = &str> {
    sources.split_ascii_whitespace().filter_map(|source| {
        let (start, rest) = source.split_at_checked(NONCE.len())?;
        let nonce = rest.strip_suffix('\'').filter(|_| start.eq_ignore_ascii_case(NONCE))?;
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
        (!nonce.is_empty() && nonce.bytes().all(is_valid)).then_some(nonce)
    })
}

const NONCE: &str = "'nonce-";

#[cfg(test)]
mod tests {
    use super::*;

    fn amended(policy: &str) -> Option<String> {
        amend(policy.as_bytes(), "ours").map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn a_script_runs_by_what_governs_scripts() {
        for (policy, without, with) in [
            ("", true, true),
            ("img-src 'none'", true, true),
            ("default-src 'self'", false, false),
            ("default-src 'self' 'unsafe-inline'", true, true),
            ("script-src 'unsafe-inline' 'sha256-abc='", false, false),
            ("script-src 'unsafe-inline' 'strict-dynamic'", false, false),
            ("script-src 'unsafe-inline' 'NONCE-ours'", false, true),
            ("script-src 'nonce-Ours'", false, false),
            ("script-src 'unsafe-inline'; script-src-elem 'none'", false, false),
            ("script-src 'none'; script-src-elem 'nonce-ours'", false, true),
            ("script-src 'none'; script-src 'unsafe-inline'", false, false),
        ] {
            let policy_bytes = policy.as_bytes();
            assert_eq!((allows(policy_bytes, None), allows(policy_bytes, Some("ours"))), (without, with), "{policy}");
        }
    }

    #[test]
    fn a_nonce_is_added_where_it_is_needed_and_nowhere_else() {
        for (before, after) in [
            ("default-src 'none'; img-src x", "default-src 'none'; script-src 'nonce-ours'; img-src x"),
            ("default-src 'self' x ;a", "default-src 'self' x; script-src 'self' x 'nonce-ours' ;a"),
            ("script-src 'none' ", "script-src 'nonce-ours' "),
            ("script-src", "script-src 'nonce-ours'"),
            ("default-src x; script-src 'self';", "default-src x; script-src 'self' 'nonce-ours';"),
            ("script-src-elem x; script-src y", "script-src-elem x 'nonce-ours'; script-src y"),
            ("script-src 'nonce-theirs'", "script-src 'nonce-theirs' 'nonce-ours'"),
        ] {
            assert_eq!(amended(before).as_deref(), Some(after), "{before}");
            assert_eq!(amended(after), None, "{after}");
        }
        for untouched in ["", "img-src 'none'", "script-src 'unsafe-inline'", "default-src 'nonce-ours'"] {
            assert_eq!(amended(untouched), None, "{untouched}");
        }
    }

    #[test]
    fn only_what_can_be_a_nonce_is_one() {
        for (policy, found) in [
            ("script-src 'self' 'nonce-a+/-_9=' 'nonce-b'", Some("a+/-_9=")),
            ("default-src 'nonce-d'; script-src 'self'", None),
            ("default-src 'nonce-d'", Some("d")),
            ("script-src 'nonce-' 'nonce-a\"b' 'nonce-c", None),
        ] {
            assert_eq!(nonce(policy.as_bytes()), found, "{policy}");
        }
    }
}
