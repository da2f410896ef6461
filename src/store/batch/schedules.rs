//! The loop among threads, in many random orders, on a disk that fails now and then.
//!
//! The loop and the channel are the real ones; the disk is a model, so that it can be asked what it
//! holds. Whoever sends first takes a place and then uses it, because that is what a send is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Mutex as Plain, PoisonError},
    task::Wake,
};

use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    sync::Arc,
    thread,
};
use tokio::sync::oneshot;

use super::*;

const CLIENTS: u32 = 3;
const COMMANDS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Stored,
    Unstored,
}

#[derive(Debug)]
struct Command {
    id: u32,
    kind: Kind,
    answer: Option<oneshot::Sender<Answer>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Refused while nothing can be written.
    New,
    /// Waits while nothing can be written.
    Late,
    Close,
}

/// What became of commands. A plain lock: it is never held where threads take turns.
#[derive(Debug, Default)]
struct Ledger {
    sent: BTreeSet<u32>,
    answers: BTreeMap<u32, Vec<Answer>>,
    on_disk: BTreeSet<u32>,
    has_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Doubtful commands are refused at once, and answered again after the look at the disk.
    AnswersTwice,
    /// What had to wait is forgotten when the disk fails.
    ForgetsTheDeferred,
}

/// The writer, with a disk that is a set.
struct Model {
    ledger: Arc<Plain<Ledger>>,
    is_open: bool,
    deferred: Vec<Command>,
    doubtful: Vec<Command>,
    bug: Bug,
}

impl Model {
    fn new(ledger: &Arc<Plain<Ledger>>, bug: Bug) -> Self {
        Self { ledger: Arc::clone(ledger), is_open: true, deferred: vec![], doubtful: vec![], bug }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, command: &mut Command, answer: Answer) {
        self.ledger().answers.entry(command.id).or_default().push(answer);
        // Nobody may be waiting.
        command.answer.take().map_or(Ok(()), |sender| sender.send(answer)).unwrap_or_default();
    }

    fn refuse(&mut self, batch: Vec<Command>) {
        for mut command in batch {
            match command.kind {
                Kind::New | Kind::Close => self.answer(&mut command, Answer::Unstored),
                Kind::Late => self.deferred.push(command),
            }
        }
    }

    fn write(&self, batch: &[Command]) {
        self.ledger().on_disk.extend(batch.iter().map(|command| command.id));
    }

    fn reopen(&mut self) {
        self.is_open = true;
        for mut command in mem::take(&mut self.doubtful) {
            let is_there = self.ledger().on_disk.contains(&command.id);
            self.answer(&mut command, if is_there { Answer::Stored } else { Answer::Unstored });
        }
    }
}

impl Work for Model {
    type Command = Command;

    fn tick(&mut self) {
        if !self.is_open && thread_rng().gen_range(0..3) == 0 {
            self.reopen();
        }
    }

    fn is_last(command: &Command) -> bool {
        command.kind == Kind::Close
    }

    fn handle(&mut self, batch: Vec<Command>) {
        if !self.is_open {
            return self.refuse(batch);
        }
        match thread_rng().gen_range(0..4) {
            0 => {
                self.is_open = false;
                self.refuse(batch);
            }
            1 => {
                self.is_open = false;
                if thread_rng().gen_range(0..2) == 0 {
                    self.write(&batch);
                }
                let (new, late) = batch.into_iter().partition(|command| command.kind == Kind::New);
                self.refuse(late);
                self.doubtful.extend::<Vec<_>>(new);
                match self.bug {
                    Bug::AnswersTwice => {
                        for mut command in mem::take(&mut self.doubtful) {
                            self.answer(&mut command, Answer::Unstored);
                            self.doubtful.push(command);
                        }
                    }
                    Bug::ForgetsTheDeferred => self.deferred.clear(),
                    Bug::None => {}
                }
            }
            _ => {
                self.write(&batch);
                for mut command in batch {
                    self.answer(&mut command, Answer::Stored);
                }
            }
        }
    }

    fn catch_up(&mut self) -> bool {
        let is_something = self.is_open && !self.deferred.is_empty();
        if is_something {
            let batch = mem::take(&mut self.deferred);
            self.handle(batch);
        }
        is_something
    }

    /// In the end the disk is well, so that everything must have been answered.
    fn end(&mut self) {
        self.reopen();
        let late = mem::take(&mut self.deferred);
        self.write(&late);
        for mut command in late {
            self.answer(&mut command, Answer::Stored);
        }
        self.ledger().has_ended = true;
    }

    fn ended(mut command: Command) {
        command.answer.take().map_or(Ok(()), |sender| sender.send(Answer::Stored)).unwrap_or_default();
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// How the thread runs: the real loop, or one with a seeded bug.
type Runs = fn(mpsc::Receiver<Command>, &mut Model);

fn really(receiver: mpsc::Receiver<Command>, model: &mut Model) {
    let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    run(receiver, model, &waker, wait);
}

/// The seeded bug: nothing wakes the thread.
fn deafly(receiver: mpsc::Receiver<Command>, model: &mut Model) {
    run(receiver, model, Waker::noop(), wait);
}

/// The seeded bug: at the end only what is there is taken, not what was promised a place.
fn hastily(mut receiver: mpsc::Receiver<Command>, model: &mut Model) {
    let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut batch = Vec::new();
    loop {
        model.tick();
        let polled = pin!(receiver.recv_many(&mut batch, BATCH)).poll(&mut context);
        match polled {
            Poll::Pending if model.catch_up() => {}
            Poll::Pending => wait(model),
            Poll::Ready(count) => {
                let last: Vec<_> = batch.extract_if(.., |command| Model::is_last(command)).collect();
                model.handle(mem::take(&mut batch));
                if count == 0 || !last.is_empty() {
                    receiver.close();
                    while let Ok(command) = receiver.try_recv() {
                        model.handle(vec![command]);
                    }
                    while model.catch_up() {}
                    model.end();
                    return last.into_iter().for_each(Model::ended);
                }
            }
        }
    }
}

/// Time passes only for a disk that waits to be tried again; otherwise the thread must be woken.
fn wait(model: &mut Model) {
    if model.is_open { thread::park() } else { thread::yield_now() }
}

/// Takes a place, waits for its turn, and uses it.
fn send(sender: &mpsc::Sender<Command>, ledger: &Plain<Ledger>, command: Command) -> bool {
    let Ok(place) = block_on(sender.reserve()) else { return false };
    thread::yield_now();
    ledger.lock().unwrap_or_else(PoisonError::into_inner).sent.insert(command.id);
    place.send(command);
    true
}

fn client(number: u32, sender: &mpsc::Sender<Command>, ledger: &Plain<Ledger>) {
    for id in number * COMMANDS..(number + 1) * COMMANDS {
        let (answer, answered) = oneshot::channel();
        let kind = if thread_rng().gen_range(0..2) == 0 { Kind::New } else { Kind::Late };
        if send(sender, ledger, Command { id, kind, answer: Some(answer) }) && thread_rng().gen_range(0..2) == 0 {
            assert!(block_on(answered).is_ok(), "no answer to {id}");
        }
    }
}

fn schedule(runs: Runs, bug: Bug) {
    let ledger = Arc::new(Plain::new(Ledger::default()));
    let (sender, receiver) = mpsc::channel(2);
    let mut model = Model::new(&ledger, bug);
    let writer = thread::spawn(move || runs(receiver, &mut model));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (sender, ledger) = (sender.clone(), Arc::clone(&ledger));
            thread::spawn(move || client(number, &sender, &ledger))
        })
        .collect();
    // In half of the stories somebody asks for the end; in the others everybody leaves.
    if thread_rng().gen_range(0..2) == 0 {
        let (answer, answered) = oneshot::channel();
        let close = Command { id: u32::MAX, kind: Kind::Close, answer: Some(answer) };
        if let Ok(place) = block_on(sender.reserve()) {
            place.send(close);
            assert!(block_on(answered).is_ok());
            assert!(ledger.lock().unwrap_or_else(PoisonError::into_inner).has_ended);
        }
    }
    drop(sender);
    clients.into_iter().for_each(|client| client.join().unwrap());
    writer.join().unwrap();
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    for id in &ledger.sent {
        let answers = ledger.answers.get(id).map_or(&[][..], Vec::as_slice);
        assert_eq!(answers.len(), 1, "answers to {id}: {answers:?}");
        assert_eq!(answers[0] == Answer::Stored, ledger.on_disk.contains(id), "the truth about {id}");
    }
}

#[test]
fn every_accepted_command_is_answered_once_and_truly() {
    shuttle::check_random(|| schedule(really, Bug::None), 500);
}

#[test]
#[ignore = "10,000 orders take a while"]
fn every_accepted_command_of_many_more_is_answered_once_and_truly() {
    shuttle::check_random(|| schedule(really, Bug::None), 10_000);
    shuttle::check_pct(|| schedule(really, Bug::None), 10_000, 3);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_lost_wake_up_is_found_out() {
    shuttle::check_random(|| schedule(deafly, Bug::None), 500);
}

#[test]
fn an_end_that_forgets_promised_places_is_found_out() {
    let found = std::panic::catch_unwind(|| shuttle::check_random(|| schedule(hastily, Bug::None), 500));
    let said = *found.unwrap_err().downcast::<String>().unwrap();
    // The command is dropped with the channel, or lies there for ever.
    assert!(said.contains("answer") || said.contains("deadlock"), "{said}");
}

#[test]
#[should_panic(expected = "answers to")]
fn a_double_answer_is_found_out() {
    shuttle::check_random(|| schedule(really, Bug::AnswersTwice), 500);
}

#[test]
#[should_panic(expected = "answer")]
fn a_forgotten_command_is_found_out() {
    shuttle::check_random(|| schedule(really, Bug::ForgetsTheDeferred), 500);
}
