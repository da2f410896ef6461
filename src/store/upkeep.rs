//! What the writer does about once a second, with or without work: it notices a file that is gone,
//! takes over from the dead, hears what others did, forgets what is old, and looks what is due.

use std::{sync::atomic::Ordering, time::Duration};

use rusqlite::Connection;

use super::{
    ErrorKind, StoreObserver, clock, instance::TakenOver, notice, outbox, shared::Shared, withdrawal::News,
    writer::Writer,
};

/// The last of other processes' announcements that we know; `None` begins with what will be.
#[derive(Debug, Default)]
pub(super) struct Heard {
    erased: Option<i64>,
    notices: Option<i64>,
}

impl Writer {
    /// What happens about once a second, with or without work.
    pub(super) fn keep_up(&mut self) {
        let instant = clock::instant();
        if instant < self.next_tick {
            return;
        }
        self.next_tick = instant + TICK;
        for _ in 0..self.shared.lost.swap(0, Ordering::Relaxed) {
            self.observer.failed(ErrorKind::Queue);
        }
        if self.database.as_ref().is_some_and(|database| !database.is_in_place()) {
            tracing::error!("the file of the store was moved or deleted; opening it anew");
            self.observer.failed(ErrorKind::Open);
            self.database = None;
        }
        if self.database.is_none() && instant >= self.retry_at {
            self.reopen();
        }
        if self.database.is_some() {
            self.write_deferred();
        }
        let Some(database) = &self.database else { return };
        self.observer.sized(database.size());
        self.observer.dropped(self.shared.hits.dropped());
        let connection = &database.connection;
        self.housekeeping.keep_for(self.shared.retention());
        let kept = self
            .instance
            .take_over(connection)
            .inspect(TakenOver::log)
            .and_then(|_| self.heard.listen(connection, &self.shared, &*self.observer))
            .and_then(|()| self.shared.hits.write(connection, &self.shared.withdrawn))
            .map(|owes_hits| self.owes_hits = owes_hits)
            .and_then(|()| self.housekeeping.follow_clock(connection, instant, clock::now(), &*self.observer))
            .and_then(|()| self.housekeeping.tick(connection, instant, clock::now()))
            .and_then(|()| database.shorten_log())
            .and_then(|()| outbox::all_due(connection));
        match kept {
            Ok(due) => self.shared.due.replace(due),
            Err(error) => {
                if ErrorKind::of(&error) == ErrorKind::Busy {
                    // Another process writes a lot; it can wait.
                    self.observer.failed(ErrorKind::Busy);
                } else {
                    self.fail(&error);
                }
            }
        }
    }
}

impl Heard {
    /// Follows what others erased, and counts what they did.
    fn listen(
        &mut self,
        connection: &Connection,
        shared: &Shared,
        observer: &dyn StoreObserver,
    ) -> rusqlite::Result<()> {
        let news = News::since(connection, self.erased)?;
        self.erased = Some(news.last);
        shared.withdrawn.insert(news.events);
        shared.journeys.drop_erased(&news.journeys);
        news.uncounted.iter().for_each(|ended| observer.withdrawn(&ended.site, &ended.network));
        let (notices, last) = notice::since(connection, self.notices)?;
        self.notices = Some(last);
        notices.iter().for_each(|notice| notice.tell(observer));
        Ok(())
    }
}

/// Between two looks; also how long an idle writer sleeps.
pub(super) const TICK: Duration = Duration::from_secs(1);
