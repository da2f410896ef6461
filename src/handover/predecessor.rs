//! The side of a running process: it answers operators and successors, one at a time.
//!
//! It has a thread of its own, because hand-overs are rare and slow, and nobody else waits for it.

use std::{
    ffi::OsString,
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::{
    PATIENCE,
    endpoint::{self, Claim},
    message::Message,
    start::{self, Started},
    talk::{Silence, Talk},
};
use crate::{proxy::sockets::Listening, store::clock, supervisor};

/// What a running process has to offer.
#[derive(Debug)]
pub struct Estate {
    /// Where it can be found.
    pub state: PathBuf,
    /// Copies of its sockets.
    pub sockets: Vec<Listening>,
    /// The options of `run` that a successor gets as well.
    pub arguments: Vec<OsString>,
}

/// A process that can be succeeded.
#[derive(Debug)]
pub struct Predecessor {
    shared: Arc<Shared>,
    course: watch::Receiver<Course>,
    open: Option<oneshot::Receiver<()>>,
}

#[derive(Debug)]
struct Shared {
    state: PathBuf,
    arguments: Vec<OsString>,
    /// Closed when this process stops accepting, or visitors would wait in their queues.
    sockets: Mutex<Vec<Listening>>,
    course: watch::Sender<Course>,
    /// Held during a conversation about a succession.
    conversation: Mutex<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It serves.
    Serving,
    /// This other process does.
    HandedOver(u32),
    /// It was told to stop.
    Stopping,
}

impl Predecessor {
    /// Begins to answer.
    #[must_use]
    pub fn start(estate: Estate, claim: Claim) -> Self {
        let (sender, course) = watch::channel(Course::Serving);
        let Estate { state, sockets, arguments } = estate;
        let sockets = Mutex::new(sockets);
        let shared = Arc::new(Shared { state, arguments, sockets, course: sender, conversation: Mutex::default() });
        let answering = Arc::clone(&shared);
        let (opened, open) = oneshot::channel();
        let answer = move || answering.answer(claim, opened);
        if let Err(error) = thread::Builder::new().name("handover".into()).spawn(answer) {
            tracing::warn!(%error, "this process can't hand over: it has no thread for that");
        }
        Self { shared, course, open: Some(open) }
    }

    /// Waits until it can be asked, or it is clear that it can't be for now.
    pub async fn can_be_asked(&mut self) {
        if let Some(open) = self.open.take() {
            // Without a thread that asks, nobody will say.
            open.await.ok();
        }
    }

    /// Waits until another process serves, and says which.
    pub async fn succeeded(&mut self) -> u32 {
        loop {
            if let Course::HandedOver(pid) = *self.course.borrow_and_update() {
                return pid;
            }
            if self.course.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Says no from now on, also to a successor that is about to be ready, and waits until it knows.
    ///
    /// The process that serves, if it was too late for that.
    pub async fn stop(&self) -> Option<u32> {
        self.shared.course.send_if_modified(|course| {
            let is_serving = *course == Course::Serving;
            if is_serving {
                *course = Course::Stopping;
            }
            is_serving
        });
        let shared = Arc::clone(&self.shared);
        // A conversation looks up every few milliseconds.
        let over = tokio::task::spawn_blocking(move || {
            drop(shared.conversation.lock());
            shared.sockets.lock().clear();
        });
        if over.await.is_err() {
            tracing::error!("a hand-over could not be broken off");
        }
        match *self.course.borrow() {
            Course::HandedOver(pid) => Some(pid),
            Course::Serving | Course::Stopping => None,
        }
    }
}

impl Shared {
    /// Answers whoever comes, until the process ends.
    fn answer(&self, claim: Claim, opened: oneshot::Sender<()>) {
        let (mut is_told, mut opened) = (false, Some(opened));
        let mut tried = move || drop(opened.take());
        let listener = loop {
            match endpoint::listen(&self.state, claim) {
                Ok(listener) => {
                    tried();
                    break listener;
                }
                Err(error) if !is_told && error.kind() == io::ErrorKind::AddrInUse => {
                    tracing::info!("another process runs on this state folder; this one can't be asked to hand over");
                }
                Err(error) if !is_told => tracing::warn!(%error, "this process can't be asked to hand over"),
                Err(_) => {}
            }
            tried();
            is_told = true;
            thread::sleep(RETRY);
        };
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.receive(stream),
                Err(error) => {
                    tracing::debug!(%error, "somebody who wanted a hand-over did not come through");
                    thread::sleep(SLICE);
                }
            }
        }
    }

    fn receive(&self, stream: UnixStream) {
        let Some(pid) = endpoint::trusted_peer(&stream) else {
            return tracing::warn!("a process of another account asked for a hand-over");
        };
        let Ok(mut talk) = Talk::over(stream) else { return };
        match talk.hear(FIRST_WORD) {
            Ok(Message::Start { binary, config }) => {
                let answer = match self.hand_over_to_child(&binary, &config) {
                    Ok((pid, version)) => Message::Done { pid, version, predecessor: std::process::id() },
                    Err(reason) => {
                        tracing::warn!(binary = %binary.display(), "nothing was handed over: {reason}");
                        Message::refused(&reason)
                    }
                };
                // The operator may have given up; the log has it.
                drop(talk.say(&answer));
            }
            Ok(Message::Succeed { version }) => {
                let _conversation = self.conversation.lock();
                if let Err(reason) = self.pass_on(&mut talk, pid, &version) {
                    tracing::warn!(pid, "nothing was handed over: {reason}");
                    drop(talk.say(&Message::refused(&reason)));
                }
            }
            Ok(_) | Err(Silence::Strange) => drop(talk.say(&Message::refused(&Silence::Strange.to_string()))),
            // Somebody who only looked whether anybody is here.
            Err(Silence::Gone | Silence::Late) => {}
        }
    }

    fn hand_over_to_child(&self, binary: &Path, config: &Path) -> Result<(u32, String), String> {
        let _conversation = self.conversation.lock();
        self.is_serving()?;
        let started = start::start(binary, config, &self.arguments)
            .map_err(|error| format!("{} can't be started: {error}", binary.display()))?;
        let Started { child, mut talk } = started;
        let pid = child.id();
        let passed = self.hear(&mut talk).and_then(|message| {
            if let Message::Succeed { version } = message {
                return self.pass_on(&mut talk, pid, &version).map(|()| version);
            }
            Err(unexpected(message))
        });
        passed.map(|version| (pid, version)).map_err(|reason| {
            drop(talk.say(&Message::refused(&reason)));
            let status = Started { child, talk }.end();
            format!("{reason} (the new process ended: {status})")
        })
    }

    /// Hands the sockets over, and the rest once the other process serves.
    fn pass_on(&self, talk: &mut Talk, pid: u32, version: &str) -> Result<(), String> {
        self.is_serving()?;
        for Listening { role, configured, socket } in &*self.sockets.lock() {
            let message = Message::Socket { role: *role, configured: *configured };
            talk.hand(&message, socket).map_err(|error| format!("its sockets could not be handed over: {error}"))?;
        }
        talk.say(&Message::AllSockets).map_err(|error| error.to_string())?;
        let message = self.hear(talk)?;
        if message != Message::Ready {
            return Err(unexpected(message));
        }
        let mut agreed = Ok(());
        // Who was told to stop meanwhile does not hand over, and the other way round.
        self.course.send_if_modified(|course| {
            agreed = match *course {
                Course::Serving => agree(talk, pid),
                Course::HandedOver(_) | Course::Stopping => Err(STOPPING.to_owned()),
            };
            if agreed.is_ok() {
                *course = Course::HandedOver(pid);
            }
            agreed.is_ok()
        });
        agreed?;
        self.sockets.lock().clear();
        tracing::info!(pid, version, "handed over to another process");
        Ok(())
    }

    /// Waits for the next word of a successor, while this process is not told to stop.
    fn hear(&self, talk: &mut Talk) -> Result<Message, String> {
        let until = clock::instant() + PATIENCE;
        loop {
            match talk.hear(SLICE) {
                Ok(message) => return Ok(message),
                Err(Silence::Late) if clock::instant() < until => self.is_serving()?,
                Err(Silence::Late) => return Err(format!("the new process was not ready within {PATIENCE:?}")),
                Err(Silence::Gone) => return Err("the new process ended before it was ready".to_owned()),
                Err(Silence::Strange) => return Err(Silence::Strange.to_string()),
            }
        }
    }

    fn is_serving(&self) -> Result<(), String> {
        match *self.course.borrow() {
            Course::Serving => Ok(()),
            Course::HandedOver(_) => Err("this process has handed over already, and ends".to_owned()),
            Course::Stopping => Err(STOPPING.to_owned()),
        }
    }
}

/// Why a message is not the one that was waited for.
fn unexpected(message: Message) -> String {
    if let Message::Failed { reason } = message { reason } else { Silence::Strange.to_string() }
}

/// The service manager knows before the other process says anything to it.
fn agree(talk: &Talk, pid: u32) -> Result<(), String> {
    supervisor::main_process(pid);
    talk.say(&Message::Yours).map_err(|_| {
        supervisor::main_process(std::process::id());
        "the new process ended before it was ready".to_owned()
    })
}

const STOPPING: &str = "the running process was told to stop";
/// How often it is looked whether this process was told to stop.
const SLICE: Duration = Duration::from_millis(50);
/// How long somebody who has come may take to say why.
const FIRST_WORD: Duration = Duration::from_secs(2);
/// How often a state folder that can't be used is tried again.
const RETRY: Duration = Duration::from_secs(10);
