//! Connections to the database: how many, what they must be like, and when one is not used again.
//!
//! A connection is begun with the settings that make a commit durable, and one to a server that could
//! lose commits is not used. A future that is dropped while a statement runs takes its connection with
//! it, so that nobody waits behind an answer that nobody wants.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    pin::Pin,
    time::Duration,
};

use deadpool_postgres::{
    ClientWrapper, Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod, Runtime,
};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::FleetError;

/// A connection in use.
pub(super) struct Session(Option<Object>);

/// Makes a set of at most `size` connections; none is opened yet.
pub(super) fn pool(config: Config, tls: MakeRustlsConnect, size: usize) -> Result<Pool, FleetError> {
    let manager = Manager::from_connect(config, Dial(tls), ManagerConfig { recycling_method: RecyclingMethod::Fast });
    Pool::builder(manager)
        .max_size(size)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(CREATE))
        .recycle_timeout(Some(WAIT))
        // The one that was used last: the others may close at the server's end in quiet times.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .post_create(Hook::async_fn(|client: &mut ClientWrapper, _| Box::pin(begin(client))))
        .build()
        .map_err(|error| FleetError::refused(error.to_string()))
}

impl Session {
    pub(super) async fn of(pool: &Pool) -> Result<Self, FleetError> {
        Ok(Self(Some(pool.get().await?)))
    }

    /// Gives the connection back; without this it is closed.
    pub(super) fn end<T>(mut self, result: Result<T, FleetError>) -> Result<T, FleetError> {
        drop(self.0.take());
        result
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

impl Deref for Session {
    type Target = ClientWrapper;

    #[expect(clippy::expect_used, reason = "only `end` and `drop` take it out, and both are the last")]
    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("a session has a connection until its end")
    }
}

impl DerefMut for Session {
    #[expect(clippy::expect_used, reason = "only `end` and `drop` take it out, and both are the last")]
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        self.0.as_mut().expect("a session has a connection until its end")
    }
}

/// Opens connections, and says quietly that one ended: whoever uses it next reports it.
struct Dial(MakeRustlsConnect);

impl Connect for Dial {
    fn connect(
        &self,
        config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(self.0.clone()).await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the database ended");
                }
            });
            Ok((client, task))
        })
    }
}

/// Settles what the server may have configured otherwise, and looks whether a commit is durable.
async fn begin(client: &ClientWrapper) -> Result<(), HookError> {
    client.batch_execute(SETTINGS).await.map_err(HookError::Backend)?;
    let refused = |reason: &'static str| Err(HookError::message(reason));
    if show(client, "fsync").await?.as_deref() == Some("off") {
        return refused(
            "the database runs with `fsync = off` and loses conversions at a power cut; set `fsync = on` in postgresql.conf",
        );
    }
    if show(client, "synchronous_commit").await?.as_deref().is_some_and(|value| value == "off" || value == "local") {
        return refused("the database does not let a session set `synchronous_commit = on`, so commits may be lost");
    }
    if show(client, "server_encoding").await?.is_some_and(|value| !value.eq_ignore_ascii_case("UTF8")) {
        return refused(
            "the database must have the encoding UTF8: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        );
    }
    Ok(())
}

/// A setting of the server; `None` when it has none of this name, as other engines do.
async fn show(client: &ClientWrapper, name: &str) -> Result<Option<String>, HookError> {
    match client.simple_query(&format!("SHOW {name}")).await {
        Ok(messages) => Ok(messages.iter().find_map(|message| {
            let SimpleQueryMessage::Row(row) = message else { return None };
            row.get(0).map(ToOwned::to_owned)
        })),
        // 42704: CockroachDB, for one, has no `fsync` that could be off.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => Ok(None),
        Err(error) => Err(HookError::Backend(error)),
    }
}

/// A value of `remote_apply` or `remote_write` would be as durable or more; `on` is what we promise.
const SETTINGS: &str = "SET synchronous_commit = 'on'; SET statement_timeout = '2s';
    SET idle_in_transaction_session_timeout = '10s'";
/// How long to wait for a connection that others use.
const WAIT: Duration = Duration::from_secs(2);
/// How long opening one may take: several hosts may be tried, and TLS be begun.
const CREATE: Duration = Duration::from_secs(8);
