//! One open socket to one relay, from the first question to the end of the connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_wsocket::Message;
use futures::{SinkExt, StreamExt};
use nostr_relay_pool::transport::websocket::{WebSocketSink, WebSocketStream};
use nostr_sdk::{ClientMessage, Event, EventBuilder, JsonUtil, RelayMessage, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::inbox::{self, Claim, MAX_EVENT_BYTES, Refused, Wanted};
use super::login::{Answered, Logins, Reader};
use super::publish::{self, Answer, quote};
use super::questions::{Did, Questions};
use super::relay::{Item, Job, Post};
use crate::engine::Want;
use crate::market::{EventId, Time};

/// A relay that sends this many messages in one session that nobody asked for, or that are forged, is
/// left for a while.
const MOST_JUNK: u32 = 1000;
/// How long the engine is waited for before events are let go and asked for again later.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a socket may take to take a message.
const SEND: Duration = Duration::from_secs(10);

/// An event whose answer is awaited.
struct Sent {
    frame: Arc<str>,
    replies: Vec<oneshot::Sender<Answer>>,
    /// The relay wanted to know who writes; it is sent again when it does.
    again: bool,
    /// When it was sent first.
    at: Instant,
}

/// Why a session ended, in a sentence.
type End = String;

/// An open socket and what is going on over it.
pub(super) struct Session<'a> {
    post: &'a Arc<Post>,
    sink: WebSocketSink,
    stream: WebSocketStream,
    questions: &'a mut Questions,
    sent: BTreeMap<EventId, Sent>,
    logins: Logins,
    /// The sink has failed. It tells that once: asked a second time, if only to close, it panics, and with it
    /// would go the task that connects anew.
    broken: bool,
    junk: u32,
    /// When the relay last said anything.
    heard: Instant,
    worked: bool,
    /// Events were let go: nothing more is asked until there is room.
    behind: bool,
    /// Events that may still be looked at in this second.
    allowance: u32,
    second: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        post: &'a Arc<Post>,
        sink: WebSocketSink,
        stream: WebSocketStream,
        questions: &'a mut Questions,
    ) -> Self {
        let now = Instant::now();
        questions.connected(now);
        Self {
            post,
            sink,
            stream,
            questions,
            sent: BTreeMap::new(),
            logins: Logins::default(),
            broken: false,
            junk: 0,
            heard: now,
            worked: false,
            behind: false,
            allowance: post.shared.rate,
            second: now,
        }
    }

    /// Runs until the connection ends. Answers with why, and whether the relay ever worked in it.
    pub(super) async fn run(
        mut self,
        wanted: &mut watch::Receiver<(u64, Wanted)>,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> (End, bool) {
        let end = match self.drive(wanted, jobs).await {
            Err(end) => end,
            Ok(never) => match never {},
        };
        if !self.broken {
            let _ = tokio::time::timeout(Duration::from_secs(1), self.sink.close()).await;
        }
        (end, self.worked)
    }

    async fn drive(
        &mut self,
        wanted: &mut watch::Receiver<(u64, Wanted)>,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> Result<std::convert::Infallible, End> {
        let post = self.post.clone();
        let limits = post.limits();
        tokio::pin!(limits);
        let mut limits_known = false;
        wanted.mark_changed();
        self.rewatch(wanted).await?;
        loop {
            self.ask().await?;
            let wake = self.questions.next();
            let wake = if self.behind { wake.min(Instant::now() + SOON) } else { wake };
            let owed = self.sent.values().filter(|s| s.at > self.heard).map(|s| s.at).min();
            let wake = owed.map_or(wake, |at| wake.min(at + post.shared.timeouts.publish));
            tokio::select! {
                limits = &mut limits, if !limits_known => {
                    limits_known = true;
                    let cap = limits.as_ref().and_then(|l| l.max_limit).and_then(|n| usize::try_from(n).ok());
                    self.questions.cap(cap);
                }
                Ok(()) = wanted.changed() => {
                    self.rewatch(wanted).await?;
                }
                Some(job) = jobs.recv() => self.publish(job).await?,
                message = self.stream.next() => match message {
                    None => return Err("the relay closed the connection".into()),
                    Some(Err(why)) => {
                        return Err(format!("the connection broke: {}", quote(&why.to_string())));
                    }
                    Some(Ok(Message::Text(text))) => self.message(&text).await?,
                    Some(Ok(Message::Close(_))) => {
                        return Err("the relay closed the connection".into());
                    }
                    // A ping is answered by the socket; anything else is nothing to us.
                    Some(Ok(Message::Ping(_))) => self.send_raw(None).await?,
                    Some(Ok(_)) => {}
                },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Takes on what is wanted now.
    async fn rewatch(&mut self, wanted: &mut watch::Receiver<(u64, Wanted)>) -> Result<(), End> {
        let (version, new) = wanted.borrow_and_update().clone();
        let close = self.questions.replace(new, Instant::now());
        self.post.vitals(|v| (v.version, v.live) = (version, false));
        for close in &close {
            self.send(close).await?;
        }
        Ok(())
    }

    /// Asks what is due, notices silence, and tells how things stand.
    async fn ask(&mut self) -> Result<(), End> {
        let now = Instant::now();
        match self.questions.silent(now) {
            0 => {}
            1 => {
                self.post.vitals(|v| v.tally.silences += 1);
                self.post.trouble("it owes an answer; asking again");
            }
            _ => {
                self.post.vitals(|v| v.tally.silences += 1);
                return Err("it is connected and does not answer; connecting anew".into());
            }
        }
        let patience = self.post.shared.timeouts.publish;
        if self.sent.values().any(|s| s.at > self.heard && s.at + patience <= now) {
            return Err("it takes events and does not answer; connecting anew".into());
        }
        let free = self.post.room.available_permits();
        if self.behind && free >= self.post.shared.room as usize / 2 {
            self.behind = false;
        }
        for message in self.questions.due(now, self.post.shared.clock.now(), !self.behind) {
            self.send(&message).await?;
        }
        let live = self.questions.live() && !self.behind;
        self.post.vitals(|v| {
            if live && !v.live {
                v.trouble = None;
            }
            v.live = live;
        });
        Ok(())
    }

    async fn send(&mut self, message: &ClientMessage<'_>) -> Result<(), End> {
        self.send_raw(Some(message.as_json())).await
    }

    /// Sends a text, or only flushes what the socket itself has to say.
    async fn send_raw(&mut self, text: Option<String>) -> Result<(), End> {
        let sending = async {
            match text {
                Some(text) => self.sink.send(Message::Text(text)).await,
                None => self.sink.flush().await,
            }
        };
        match tokio::time::timeout(SEND, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => {
                self.broken = true;
                Err(format!("the connection broke: {}", quote(&why.to_string())))
            }
            Err(_) => Err("the relay takes nothing any more; connecting anew".into()),
        }
    }

    async fn publish(&mut self, job: Job) -> Result<(), End> {
        // Whoever asked may have stopped waiting while we were not connected.
        if job.reply.is_closed() {
            return Ok(());
        }
        let sent = self.sent.entry(job.id).or_insert_with(|| Sent {
            frame: job.frame.clone(),
            replies: Vec::new(),
            again: false,
            at: Instant::now(),
        });
        sent.replies.retain(|r| !r.is_closed());
        sent.replies.push(job.reply);
        self.sent.retain(|_, s| s.replies.iter().any(|r| !r.is_closed()));
        self.send_raw(Some(job.frame.to_string())).await
    }

    async fn message(&mut self, text: &str) -> Result<(), End> {
        let now = Instant::now();
        self.questions.heard(now);
        self.heard = now;
        let wall = self.post.shared.clock.now();
        self.post.vitals(|v| v.heard_at = Some(wall));
        if text.len() > MAX_EVENT_BYTES {
            return self.junk(Refused::TooLarge);
        }
        let Ok(message) = RelayMessage::from_json(text) else { return self.junk(Refused::Garbage) };
        match message {
            RelayMessage::Event { subscription_id, event } => {
                self.allowed().await;
                self.event(subscription_id.as_str(), &event, text.len(), wall).await
            }
            RelayMessage::EndOfStoredEvents(id) => {
                self.worked = true;
                let (did, send) = self.questions.eose(id.as_str(), !self.behind, now);
                if did == Did::Restored {
                    tracing::debug!(relay = %self.post.url, "a question stands again");
                }
                for message in &send {
                    self.send(message).await?;
                }
                Ok(())
            }
            RelayMessage::Closed { subscription_id, message } => {
                self.closed(subscription_id.as_str(), &message, now).await
            }
            RelayMessage::Ok { event_id, status, message } => {
                self.answer(EventId(event_id.to_bytes()), status, &message).await
            }
            RelayMessage::Auth { challenge } => {
                if self.logins.challenged(challenge.into_owned()) {
                    self.log_in().await?;
                }
                Ok(())
            }
            RelayMessage::Notice(words) => {
                tracing::debug!(relay = %self.post.url, notice = %quote(&words), "relay");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn junk(&mut self, why: Refused) -> Result<(), End> {
        self.post.refused(why);
        self.junk += 1;
        if self.junk > MOST_JUNK {
            self.worked = false;
            return Err(
                "it sends what was not asked for or is forged; left alone for a while".into()
            );
        }
        Ok(())
    }

    /// Waits while this relay has used up its share of our attention in this second.
    async fn allowed(&mut self) {
        let now = Instant::now();
        if now >= self.second + Duration::from_secs(1) {
            (self.second, self.allowance) = (now, self.post.shared.rate);
        }
        if self.allowance == 0 {
            tokio::time::sleep_until(self.second + Duration::from_secs(1)).await;
            (self.second, self.allowance) = (Instant::now(), self.post.shared.rate);
        }
        self.allowance -= 1;
    }

    async fn event(
        &mut self,
        sub: &str,
        event: &Event,
        frame: usize,
        wall: Time,
    ) -> Result<(), End> {
        let at = Time(event.created_at.as_secs());
        let met = inbox::admit(event, frame, self.questions.wanted(), wall);
        self.questions.event(sub, at, met.is_ok(), Instant::now());
        let met = match met {
            Ok(met) => met,
            Err(why) => return self.junk(why),
        };
        let id = event.id.to_bytes();
        let unseen = {
            let seen = self.post.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
            met.iter().any(|(_, asked)| !seen.has(asked.serial, id))
        };
        if !unseen {
            return Ok(());
        }
        if let Err(why) = inbox::verify(event) {
            return self.junk(why);
        }
        // Another relay may have brought it while we checked; from here on it is ours to hand on.
        let serials = met.iter().map(|(_, asked)| asked.serial).collect();
        let Some(claim) = Claim::take(&self.post.shared.seen, serials, id) else { return Ok(()) };
        let wants: Vec<Want> = met.into_iter().map(|(want, _)| want).collect();
        if self.hand_on(event, frame, &wants).await {
            claim.keep();
        }
        Ok(())
    }

    /// Hands an event on if there is room, waiting a little for it. What does not fit is let go and its
    /// want read again later: the relay's stream must not be held up for long, for answers to what we
    /// publish come over it too.
    async fn hand_on(&mut self, event: &Event, frame: usize, wants: &[Want]) -> bool {
        let kib = (frame as u32).div_ceil(1024).min(self.post.shared.room);
        let room = self.post.room.clone();
        let permit = match room.clone().try_acquire_many_owned(kib) {
            Ok(permit) => Some(permit),
            Err(_) if self.behind => None,
            Err(_) => {
                let waiting = room.acquire_many_owned(kib);
                let patience = PATIENCE.min(self.post.shared.timeouts.patience);
                tokio::time::timeout(patience, waiting).await.ok().and_then(Result::ok)
            }
        };
        let Some(permit) = permit else {
            if !self.behind {
                self.post.trouble("events come faster than they are taken; asking again later");
            }
            self.behind = true;
            wants.iter().for_each(|want| self.questions.behind(want));
            self.post.vitals(|v| v.tally.lagged += 1);
            return false;
        };
        let url = self.post.url.to_string();
        let item = Item { event: inbox::hand_on(&url, event), _room: permit };
        self.post.vitals(|v| v.tally.handed_on += 1);
        self.post.shared.out.send(item).is_ok()
    }

    async fn closed(&mut self, sub: &str, reason: &str, now: Instant) -> Result<(), End> {
        let prefix = reason.split_once(':').map_or("", |(prefix, _)| prefix.trim());
        let asks = matches!(prefix, "auth-required" | "restricted");
        let readers = if asks { self.readers(sub, prefix) } else { BTreeSet::new() };
        let needed =
            self.questions.wanted().values().filter(|asked| asked.reader.is_some()).count();
        if self.logins.are_spent(&readers, needed) {
            return Err("one connection may show no more keys; connecting anew".into());
        }
        let new = self.logins.want(readers);
        let refused_us = asks && !new;
        if self.questions.closed(sub, refused_us, now) == Did::Nothing {
            return Ok(());
        }
        self.post.vitals(|v| v.tally.closed += 1);
        self.post.trouble(match (new, refused_us) {
            (true, _) => "it wants to know who reads; logging in".into(),
            (_, true) => format!(
                "it serves these events only to their recipient, and does not take us for that: {}",
                quote(reason)
            ),
            _ => format!("it closed a subscription; asking again: {}", quote(reason)),
        });
        self.log_in().await
    }

    /// Who a relay may take for the reader of what is asked under this id: the keys that it is addressed
    /// to, and where it is addressed to nobody, a key of nobody.
    fn readers(&self, sub: &str, prefix: &str) -> BTreeSet<Reader> {
        let wanted = self.questions.wanted();
        let keys = self.questions.wants(sub).filter_map(|want| wanted.get(want)?.reader);
        let known = self.post.shared.scribe.is_some();
        let keys: BTreeSet<_> = keys.filter(|_| known).map(Reader::Key).collect();
        match (keys.is_empty(), prefix) {
            (true, "auth-required") => [Reader::Nobody].into(),
            _ => keys,
        }
    }

    /// Answers the relay's challenge, if it gave one, with every key that something needs.
    async fn log_in(&mut self) -> Result<(), End> {
        let Some((challenge, readers)) = self.logins.due() else { return Ok(()) };
        for reader in readers {
            let event = match (&reader, &self.post.shared.scribe) {
                (Reader::Key(key), Some(scribe)) => scribe
                    .log_in(key, &challenge, self.post.url.as_str())
                    .ok()
                    .and_then(|event| Event::from_json(event.json).ok()),
                _ => {
                    let now = Timestamp::from_secs(self.post.shared.clock.now().0);
                    EventBuilder::auth(&challenge, self.post.url.clone())
                        .custom_created_at(now)
                        .sign_with_keys(&self.post.keys)
                        .ok()
                }
            };
            let Some(event) = event else {
                self.post.trouble("its challenge is none that can be answered");
                continue;
            };
            self.logins.sent(EventId(event.id.to_bytes()), reader);
            self.send(&ClientMessage::auth(event)).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, id: EventId, accepted: bool, reason: &str) -> Result<(), End> {
        if let Some(answered) = self.logins.answered(id, accepted) {
            if !accepted {
                self.post.trouble(format!("it does not let us in: {}", quote(reason)));
            }
            if answered == Answered::All {
                self.questions.retry(Instant::now());
            }
            if self.logins.writes() {
                let again: Vec<_> =
                    self.sent.values_mut().filter(|s| s.again).map(|s| s.frame.clone()).collect();
                for frame in again {
                    self.send_raw(Some(frame.to_string())).await?;
                }
            }
            return Ok(());
        }
        if !accepted
            && reason.starts_with("auth-required")
            && let Some(sent) = self.sent.get_mut(&id).filter(|s| !s.again)
            && self.logins.want([Reader::Nobody].into())
        {
            sent.again = true;
            self.post.trouble("it wants to know who writes; showing it a key of nobody");
            return self.log_in().await;
        }
        if let Some(sent) = self.sent.remove(&id) {
            self.worked = true;
            let answer = publish::read(accepted, reason);
            if answer == Answer::Accepted {
                let took = (self.post.shared.clock.now(), sent.at.elapsed());
                let idle = self.questions.is_empty();
                self.post.vitals(|v| {
                    v.took = Some(took);
                    if idle {
                        v.trouble = None;
                    }
                });
            }
            for reply in sent.replies {
                let _ = reply.send(answer.clone());
            }
        }
        Ok(())
    }
}

/// How soon to look again whether the engine has caught up.
const SOON: Duration = Duration::from_millis(50);
