//! What the answer to a request with several events means for each of them.
//!
//! A network may take most events and name those that it did not take. Those are judged by what it
//! says of them, all others by the network's rules as if it had named none. An answer that refuses the
//! whole request may do so for one event's sake, and only sending each alone shows which.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Answer, Judgement, Rejection, RetryReason, Verdict, VerdictRules};
use crate::tracking::event::EventId;

/// Where an answer names the events that failed; all are JSON pointers (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedList {
    /// The list in the answer, one record for each event that failed.
    pub list: String,
    /// The event id in a record.
    pub id: String,
    /// The text in a record that says why.
    pub code: Option<String>,
    /// The codes that ask for another attempt; all others are final.
    pub retry: Vec<String>,
}

/// What an answer means for the events of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchJudgement {
    /// One for each event, in their order.
    pub events: Vec<EventJudgement>,
    /// The answer without the records of the events that failed, where it has any.
    pub rest: Option<Vec<u8>>,
}

/// What an answer means for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventJudgement {
    /// What follows.
    pub fate: Fate,
    /// The record that the network made of it: why it failed, without the event itself.
    pub record: Option<String>,
}

/// What follows for one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As if it had been sent alone.
    Judged(Judgement),
    /// It was refused along with others, perhaps for the sake of one of them: it has to be sent alone.
    Alone,
}

/// What an answer says of the events that failed.
enum Failures {
    /// None did.
    None,
    /// The answer can't be read.
    Unreadable,
    /// Something else stands where their list belongs.
    NoList,
    /// Some did; the rest of the answer.
    Some(Vec<Record>, Vec<u8>),
}

/// What an answer says of one event that failed.
struct Record {
    of: Named,
    judgement: Judgement,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Event(EventId),
    /// Something that we cannot have sent.
    Stranger,
    Nobody,
}

impl VerdictRules {
    /// Says what the answer to a request with these events means for each.
    #[must_use]
    pub fn judge_batch(&self, failed: Option<&FailedList>, answer: Answer<'_>, events: &[EventId]) -> BatchJudgement {
        // An answer that is no success speaks of the request as a whole, whatever else it holds.
        let failures = match failed {
            Some(failed) if matches!(answer.status, 200..=299) => failed.read(answer.body),
            Some(_) | None => Failures::None,
        };
        let mut judged = match failures {
            Failures::None => BatchJudgement::of_all(self.judge(answer), events),
            Failures::NoList if events.len() > 1 => BatchJudgement::of_all(UNCLEAR, events),
            Failures::Unreadable | Failures::NoList => BatchJudgement::of_all(doubted(self.judge(answer)), events),
            Failures::Some(records, rest) => {
                let of_others = self.judge(Answer { body: Some(&rest), ..answer });
                let events = match events {
                    // Whatever is said in answer to one event is said of it.
                    [_] => vec![EventJudgement::by(&records.iter().collect::<Vec<_>>())],
                    _ => judge_each(&records, of_others, events),
                };
                BatchJudgement { events, rest: Some(rest) }
            }
        };
        for event in &mut judged.events {
            if let Fate::Judged(judgement) = &mut event.fate {
                *judgement = self.asked_again(*judgement);
            }
        }
        judged
    }
}

fn judge_each(records: &[Record], of_others: Judgement, events: &[EventId]) -> Vec<EventJudgement> {
    let mut by_name = BTreeMap::<Named, Vec<&Record>>::new();
    for record in records {
        by_name.entry(record.of).or_default().push(record);
    }
    // Nobody knows which event is meant.
    let of_others = if by_name.contains_key(&Named::Nobody) { doubted(of_others) } else { of_others };
    let other = EventJudgement { fate: fate(of_others, events.len()), record: None };
    let judge = |id: &EventId| {
        by_name.get(&Named::Event(*id)).map_or_else(|| other.clone(), |records| EventJudgement::by(records))
    };
    events.iter().map(judge).collect()
}

impl EventJudgement {
    /// By the records of one event; of several, one that is final decides.
    fn by(records: &[&Record]) -> Self {
        let is_final = |record: &&&Record| matches!(record.judgement, Judgement::Final(_));
        let record = records.iter().find(is_final).or(records.first());
        let judgement = record.map_or(UNCLEAR, |record| record.judgement);
        Self { fate: Fate::Judged(judgement), record: record.map(|record| record.text.clone()) }
    }
}

impl BatchJudgement {
    /// The same for all events.
    #[must_use]
    pub fn of_all(judgement: Judgement, events: &[EventId]) -> Self {
        let fate = fate(judgement, events.len());
        Self { events: vec![EventJudgement { fate, record: None }; events.len()], rest: None }
    }
}

/// What a judgement on several events means for each of them.
const fn fate(judgement: Judgement, events: usize) -> Fate {
    match judgement {
        // Each of these may be about a single event. A redirect, an outage and wrong credentials are not.
        Judgement::Final(
            Verdict::Rejected(Rejection::Answer | Rejection::Status) | Verdict::InvalidClick | Verdict::AlreadyKnown,
        ) if events > 1 => Fate::Alone,
        Judgement::Final(_) | Judgement::Retry(_) => Fate::Judged(judgement),
    }
}

/// Nobody can say that nothing failed.
const fn doubted(judgement: Judgement) -> Judgement {
    match judgement {
        Judgement::Final(Verdict::Delivered | Verdict::AlreadyKnown) => UNCLEAR,
        Judgement::Final(_) | Judgement::Retry(_) => judgement,
    }
}

impl FailedList {
    fn read(&self, body: Option<&[u8]>) -> Failures {
        let Some(mut document) = body.and_then(|body| serde_json::from_slice::<Value>(body).ok()) else {
            return Failures::Unreadable;
        };
        let records = match document.pointer_mut(&self.list) {
            None | Some(Value::Null) => return Failures::None,
            Some(Value::Array(list)) if list.is_empty() => return Failures::None,
            Some(Value::Array(list)) => std::mem::take(list),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => return Failures::NoList,
        };
        let records = records.into_iter().map(|record| self.record(record)).collect();
        Failures::Some(records, document.to_string().into_bytes())
    }

    fn record(&self, record: Value) -> Record {
        let of = match record.pointer(&self.id) {
            Some(Value::String(id)) => EventId::parse(id).map_or(Named::Stranger, Named::Event),
            Some(Value::Number(_)) => Named::Stranger,
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => Named::Nobody,
        };
        let judgement = self.judge(&record);
        Record { of, judgement, text: self.without_the_event(record).to_string() }
    }

    fn judge(&self, record: &Value) -> Judgement {
        let code = self.code.as_deref().and_then(|code| record.pointer(code)).and_then(text);
        if code.is_some_and(|code| self.retry.contains(&code)) {
            Judgement::Retry(RetryReason::Status)
        } else {
            Judgement::Final(Verdict::Rejected(Rejection::Answer))
        }
    }

    /// The record without what was sent: we know it, and it may name a person.
    fn without_the_event(&self, mut record: Value) -> Value {
        let Some((around, key)) = self.id.rsplit_once('/').filter(|(around, _)| !around.is_empty()) else {
            return record;
        };
        let key = key.replace("~1", "/").replace("~0", "~");
        if let Some(Value::Object(event)) = record.pointer_mut(around) {
            *event = event.remove_entry(&key).into_iter().collect::<Map<_, _>>();
        }
        record
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What is said where nobody can say more.
const UNCLEAR: Judgement = Judgement::Final(Verdict::Unclear);

#[cfg(test)]
mod tests;
