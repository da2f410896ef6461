//! What the forwarder does for its fleet besides conversions, and what it hears from it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Hindrance, Loop, Round, handing::COMPLAINTS};
use crate::{
    store::{
        clock,
        departure::Departed,
        errand::Errand,
        fleet::FleetError,
        heirloom::{Heirloom, Slice},
        reader::Question,
        withdrawal::Subject,
    },
    throttle::Pass,
    tracking::{event::EventId, journey::JourneyKey},
};

impl Loop {
    /// Runs errands in their order, as far as the fleet can be reached.
    pub(super) async fn run_errands(
        &mut self,
        errands: Vec<(i64, Option<Errand>)>,
        departed: &mut Departed,
    ) -> Result<(), FleetError> {
        for (number, errand) in errands {
            match errand {
                Some(errand) => match self.run_errand(errand).await {
                    Ok(()) => {}
                    Err(error) if error.is_about_a_value() => {
                        if let Some(Pass { held_back, .. }) = COMPLAINTS.pass(clock::instant()) {
                            tracing::error!(%error, held_back, "the fleet can't hold what a visit brought; it is known to this node alone");
                        }
                    }
                    Err(error) => return Err(error),
                },
                None => {
                    if let Some(Pass { held_back, .. }) = COMPLAINTS.pass(clock::instant()) {
                        tracing::error!(
                            held_back,
                            "what a visit brought can't be read; it is known to this node alone"
                        );
                    }
                }
            }
            departed.errand = Some(number);
        }
        Ok(())
    }

    async fn run_errand(&mut self, errand: Errand) -> Result<(), FleetError> {
        match errand {
            Errand::Claim(taken) => match taken.claim() {
                Some(claim) => self.fleet.claim(&[claim]).await.map(drop),
                None => Ok(()),
            },
            Errand::GiveBack(taken) => match taken.claim() {
                Some(claim) => self.fleet.give_back(&[(claim.event_id, claim.dedup.key)]).await,
                None => Ok(()),
            },
            Errand::Remember { site, keys, journey, expires } => {
                let kept = self.store.shared.retention().journeys;
                self.fleet.remember(&site, &keys, &journey, expires, kept).await
            }
            Errand::Forget(keys) => {
                self.kin = self.fleet.forget(&keys).await?;
                self.kin.extend(keys);
                let now = Instant::now();
                self.forgotten.extend(self.kin.iter().map(|key| (*key, now)));
                Ok(())
            }
            Errand::Withdraw { mut subject, ended } => {
                // Their journeys were forgotten just before, under names that this node did not know as well.
                if subject.journeys.iter().any(|key| self.kin.contains(key)) {
                    subject.journeys.clone_from(&self.kin);
                }
                self.withdraw(&subject, &ended).await
            }
        }
    }

    /// Ends what a visitor does not want to be sent, wherever on the fleet it waits.
    async fn withdraw(&self, subject: &Subject, ended_here: &[EventId]) -> Result<(), FleetError> {
        let clicks: Vec<(&str, &str)> =
            subject.clicks.iter().map(|(network, click)| (network.as_str(), click.as_str())).collect();
        let mut ids = self.fleet.open_rows_of(&subject.site, &clicks, &subject.journeys).await?;
        self.store.shared.withdrawn.insert(ids.iter().copied());
        // Those were counted when they ended here; they were on their way at that moment.
        let counted: Vec<EventId> = ids.extract_if(.., |id| ended_here.contains(id)).collect();
        if !counted.is_empty() {
            self.fleet.withdraw(&counted).await?;
        }
        if !ids.is_empty() {
            let ended = self.fleet.withdraw(&ids).await?;
            ended.iter().for_each(|ended| self.observer.withdrawn(&ended.site, &ended.network));
        }
        Ok(())
    }

    /// Hands over some of what this store had before it joined; then nothing is left.
    pub(super) async fn adopt(&mut self) -> Result<Round, Hindrance> {
        if self.has_adopted {
            return Ok(Round::Nothing);
        }
        for which in [Heirloom::Keys, Heirloom::Journeys] {
            let slice = self.store.ask(|answer| Question::Heirlooms { which, answer }).await.ok_or(Hindrance::Store)?;
            let Some(slice) = slice else { continue };
            match &slice {
                Slice::Keys(keys) => self.fleet.adopt_keys(keys).await?,
                Slice::Journeys(journeys) => {
                    let kept = self.store.shared.retention().journeys;
                    for old in journeys {
                        let Ok(journey) = serde_json::from_str(&old.data) else { continue };
                        let key = JourneyKey::from_bytes(old.key);
                        self.fleet.remember(&old.site, &[key], &journey, old.expires, kept).await?;
                    }
                }
            }
            let adopted = Some((which, slice.cursor()));
            self.depart(Departed { adopted, ..Departed::default() }).await?;
            return Ok(Round::Some);
        }
        self.has_adopted = true;
        Ok(Round::Nothing)
    }

    /// Forgets here what was forgotten at another node.
    pub(super) async fn hear(&mut self) -> Result<(), Hindrance> {
        let news = self.fleet.news(self.heard).await?;
        let now = Instant::now();
        self.forgotten.retain(|_, since| now.duration_since(*since) < REPEATED);
        let new: Vec<_> = news.journeys.into_iter().filter(|key| self.forgotten.insert(*key, now).is_none()).collect();
        if !new.is_empty() {
            self.store.forget_here(&new).await;
        }
        self.heard = news.until;
        // Whoever asks first counts them for the fleet.
        self.fleet.notices().await?.iter().for_each(|notice| self.observer.told(notice));
        Ok(())
    }
}

/// What is heard twice is heard twice within this time.
const REPEATED: Duration = Duration::from_mins(1);
