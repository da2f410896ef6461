//! Where the shared store is, and how far its server must prove who it is.
//!
//! The address is a secret as a whole. Its parameters are those of libpq as far as the driver knows
//! them; `sslmode` is read here, because the driver knows neither `verify-ca` nor `verify-full`.

use std::{fmt, net::IpAddr, time::Duration};

use rustls::pki_types::CertificateDer;
use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

use super::FleetError;

/// Where the shared store is.
#[derive(Clone, PartialEq, Eq)]
pub struct FleetSettings {
    /// `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full`, a secret.
    pub url: String,
    /// Who may vouch for the server; empty means Mozilla's list.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// How the way to the database is protected: `sslmode` as libpq has it.
///
/// Without one, a server on this machine is asked without a proof, and any other must give the full one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// `disable`: never.
    Off,
    /// `prefer`: if the server can, whoever it is.
    Opportunistic,
    /// `require` without authorities of its own: always, whoever the server is.
    Unproven,
    /// `verify-ca`, and `require` with authorities: one of them must vouch for the server.
    Vouched,
    /// `verify-full`: vouched for, and for this very name.
    Full,
}

/// What the driver and TLS are told.
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) encryption: Encryption,
    pub(super) is_direct: bool,
}

impl FleetSettings {
    /// How the way to the database will be protected.
    ///
    /// # Errors
    /// When the address can't be understood.
    pub fn encryption(&self) -> Result<Encryption, FleetError> {
        self.target().map(|target| target.encryption)
    }

    /// Whether the database is on this machine, by its address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.target().is_ok_and(|target| is_local(&target.config))
    }

    /// Reads the address; nothing of it is repeated in an error.
    pub(super) fn target(&self) -> Result<Target, FleetError> {
        let refused = |reason: &str| FleetError::Refused { reason: reason.to_owned() };
        if !["postgres://", "postgresql://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            return Err(refused("the database's address must begin with postgres://"));
        }
        let (address, parameters) = split(&self.url);
        let is_mode = |parameter: &&str| parameter.starts_with("sslmode=");
        let mode = parameters.split('&').rfind(is_mode).and_then(|parameter| parameter.strip_prefix("sslmode="));
        if parameters.contains("sslrootcert=") {
            return Err(refused("`sslrootcert` is not read from the database's address; name the file as `ca`"));
        }
        let rest: Vec<_> = parameters.split('&').filter(|parameter| !is_mode(parameter)).collect();
        let mut config: Config = format!("{address}?{}", rest.join("&")).parse().map_err(|_| {
            // The parser repeats names of parameters, which may be the tail of a password.
            refused(
                "the database's address can't be understood; it reads postgres://USER:PASSWORD@HOST:PORT/DATABASE, \
                 with what is special in the password percent-encoded, and knows the parameters of libpq except files",
            )
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(refused("the database's address names no host"));
        }
        let encryption = match mode {
            None if is_local(&config) => Encryption::Opportunistic,
            None | Some("verify-full") => Encryption::Full,
            Some("disable") => Encryption::Off,
            Some("allow" | "prefer") => Encryption::Opportunistic,
            Some("require") if self.authorities.is_empty() => Encryption::Unproven,
            Some("require" | "verify-ca") => Encryption::Vouched,
            Some(_) => {
                return Err(refused(
                    "`sslmode` in the database's address must be disable, prefer, require, verify-ca or verify-full",
                ));
            }
        };
        let is_direct = parameters.contains("sslnegotiation=direct");
        configure(&mut config, encryption);
        Ok(Target { config, encryption, is_direct })
    }
}

impl fmt::Debug for FleetSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetSettings").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

/// The address and its parameters; a question mark before the `@` belongs to the password.
fn split(url: &str) -> (&str, &str) {
    let credentials = url.find('@').unwrap_or(0);
    url.char_indices()
        .find(|(position, character)| *position >= credentials && *character == '?')
        .and_then(|(position, _)| Some((url.get(..position)?, url.get(position + 1..)?)))
        .unwrap_or((url, ""))
}

fn is_local(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    }) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// What an address leaves open.
fn configure(config: &mut Config, encryption: Encryption) {
    config.ssl_mode(match encryption {
        Encryption::Off => SslMode::Disable,
        Encryption::Opportunistic => SslMode::Prefer,
        Encryption::Unproven | Encryption::Vouched | Encryption::Full => SslMode::Require,
    });
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED);
    }
    if config.get_application_name().is_none() {
        config.application_name("throughline");
    }
    // Of several hosts the one that leads; a standby would refuse every statement.
    if config.get_target_session_attrs() == TargetSessionAttrs::Any {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    config.keepalives_idle(IDLE).keepalives_interval(IDLE / 2).keepalives_retries(3);
}

const CONNECT: Duration = Duration::from_secs(3);
/// How long the network may swallow what was sent before the connection counts as broken.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> FleetSettings {
        FleetSettings { url: url.to_owned(), authorities: Vec::new() }
    }

    #[test]
    fn the_mode_decides_how_far_the_server_must_prove_itself() {
        for (url, expected) in [
            ("postgres://u:p@db.example/tl", Encryption::Full),
            ("postgres://u:p@127.0.0.1/tl", Encryption::Opportunistic),
            ("postgres://u:p@[::1]:5433/tl", Encryption::Opportunistic),
            ("postgres://u:p@localhost,db.example/tl", Encryption::Full),
            ("postgres:///tl?host=/run/postgresql", Encryption::Opportunistic),
            ("postgres://u:p@db.example/tl?sslmode=require&connect_timeout=1", Encryption::Unproven),
            ("postgres://u:p@db.example/tl?connect_timeout=1&sslmode=disable", Encryption::Off),
            ("postgresql://u:p?x@db.example/tl?sslmode=verify-ca", Encryption::Vouched),
        ] {
            assert_eq!(settings(url).encryption().unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn a_wrong_address_is_refused_without_repeating_it() {
        for url in [
            "canary",
            "mysql://canary@h/d",
            "postgres:///canary",
            "postgres://u:canary@h/d?sslmode=canary",
            "postgres://u:p@h/d?canary=1",
            "postgres://u:p@h/d?sslrootcert=canary",
            "postgres://u:p@h:canary/d",
        ] {
            let error = settings(url).encryption().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
            assert!(!error.is_transient());
        }
        assert!(!format!("{:?}", settings("postgres://u:canary@h/d")).contains("canary"));
    }
}
