//! What a handle offers about one visitor: their journey, their verdicts, their withdrawal.
//!
//! Lookups are answered by the reader beside the writer; they never wait for a disk that is not there.

use std::sync::atomic::Ordering;

use tokio::{join, sync::oneshot, task};

use super::{
    Store, clock,
    command::{Command, Teller},
    journeys,
    reader::Question,
    withdrawal::Subject,
};
use crate::tracking::{
    event::EventId,
    journey::{Journey, JourneyKey},
    timestamp::Timestamp,
};

impl Store {
    /// Adds to what is known of a visitor, under each of the keys; it can be recalled at once.
    ///
    /// Never waits. It is on disk soon, unless so much is waiting that it is dropped there, which is
    /// counted. Kept until `expires`, and never longer than the retention of journeys.
    pub fn remember(&self, site: &str, keys: &[JourneyKey], journey: Journey, expires: Timestamp) {
        if keys.is_empty() {
            return;
        }
        let kept = self.shared.retention().journeys;
        let expires = expires.min(clock::now().plus(kept));
        self.shared.journeys.remember(keys, &journey, expires);
        self.shared.journeys.writing(keys);
        let command =
            Command::Remember { site: site.into(), keys: keys.into(), journey: journey.into(), expires, kept };
        if self.commands.try_send(command).is_err() {
            self.shared.journeys.written(keys);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What is known of a visitor under any of these keys.
    ///
    /// Read beside the writer. A store that is degraded or overloaded knows what this process remembers.
    pub async fn recall(&self, keys: &[JourneyKey]) -> Option<Journey> {
        let now = clock::now();
        let (remembered, keys) = self.shared.journeys.recall(keys, now);
        let (stored, elsewhere) = join!(self.recall_here(keys.clone(), now), self.recall_elsewhere(&keys, now));
        let mut journey = journeys::merged(elsewhere.into_iter().chain(stored).chain(remembered))?;
        journey.expire(now, self.shared.retention().journeys);
        Some(journey)
    }

    async fn recall_here(&self, keys: Vec<JourneyKey>, now: Timestamp) -> Option<Journey> {
        if keys.is_empty() {
            return None;
        }
        self.ask(|answer| Question::Recall { keys, now, answer }).await.flatten()
    }

    /// Forgets these journeys: in memory at once, on disk when this returns or as soon as it can be.
    ///
    /// Returns all keys under which they were kept, which are forgotten, too.
    pub async fn forget(&self, keys: &[JourneyKey]) -> Vec<JourneyKey> {
        let keys = self.shared.journeys.hide(keys);
        let (done, written) = oneshot::channel();
        self.send(Command::Forget { keys: keys.clone(), told_by: Teller::Visitor, done }).await;
        written.await.unwrap_or(keys)
    }

    /// Forgets what another node has forgotten.
    pub(super) async fn forget_here(&self, keys: &[JourneyKey]) {
        let keys = self.shared.journeys.hide(keys);
        let (done, written) = oneshot::channel();
        self.send(Command::Forget { keys, told_by: Teller::Fleet, done }).await;
        drop(written.await);
    }

    /// Ends what is still to be sent of a visitor of a site, and forgets the journeys.
    ///
    /// Meant are open rows with one of these clicks (by the network's key) or one of these journeys.
    /// They are not sent any more, except by an attempt that is on the wire already. Goes on by itself
    /// when the caller stops waiting.
    pub async fn withdraw(&self, site: &str, clicks: &[(&str, &str)], journeys: &[JourneyKey]) {
        let clicks = clicks.iter().map(|(network, click)| ((*network).to_owned(), (*click).to_owned())).collect();
        let subject = Subject { site: site.to_owned(), clicks, journeys: journeys.into() };
        let store = self.clone();
        // A panic in there is told by the runtime.
        drop(tokio::spawn(async move { store.end_rows_of(subject).await }).await);
    }

    /// Notes that events must not be sent any more, which somebody else has ended.
    pub fn note_withdrawn(&self, ids: Vec<EventId>) {
        if !ids.is_empty() {
            self.shared.withdrawn.insert(ids);
        }
    }

    /// Whether an event must not be sent any more.
    #[must_use]
    pub fn is_withdrawn(&self, id: EventId) -> bool {
        self.shared.withdrawn.contains(id)
    }

    /// The verdicts of these events by their words, in their order; `None` where there is none yet.
    ///
    /// Read beside the writer. A store that is degraded or overloaded knows of none, and says so at once.
    pub async fn verdicts(&self, ids: Vec<EventId>) -> Vec<Option<String>> {
        let none = vec![None; ids.len()];
        let asked = ids.clone();
        let mut verdicts = self.ask(|answer| Question::Verdicts { ids: asked, answer }).await.unwrap_or(none);
        self.complete_verdicts(&ids, &mut verdicts).await;
        verdicts
    }

    async fn end_rows_of(&self, mut subject: Subject) {
        // Also makes sure that everything is on disk that was accepted before.
        subject.journeys = self.forget(&subject.journeys).await;
        let Ok(_alone) = self.shared.search.acquire().await else { return };
        let inspector = self.inspect();
        let looked_for = subject.clone();
        let found = task::spawn_blocking(move || inspector.read(|connection| looked_for.find(connection))).await;
        let ids = match found {
            Ok(Ok(ids)) => ids,
            Ok(Err(error)) => return tracing::error!(%error, "a withdrawal of consent could not be carried out"),
            Err(_panic) => return,
        };
        if ids.is_empty() && self.shared.fleet.is_none() {
            return;
        }
        self.shared.withdrawn.insert(ids.iter().copied());
        let (done, written) = oneshot::channel();
        self.send(Command::Withdraw { ids, subject, done }).await;
        drop(written.await);
    }

    /// Asks the reader; `None` when it has no time or no store.
    pub(super) async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, receiver) = oneshot::channel();
        if !self.shared.is_ready() || self.questions.try_send(question(answer)).is_err() {
            return None;
        }
        receiver.await.ok()
    }
}
