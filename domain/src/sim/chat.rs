//! The chat of the simulation, which does what `adapters::chat::discord` does: a world's card, which people delete, and the
//! answers that follow a world, which can be changed for a quarter of an hour, and never if they came too late. And what
//! people must read in the end.

use async_trait::async_trait;

use super::{
    clockwork::Sim,
    outside::{MINUTE, Outside, SECOND},
    ports::Call,
};
use crate::{
    effect::{self, Notice},
    ports::{Chat, Unavailable},
    talk::{CardId, MOST_FOLLOWERS, ReplyId},
    words,
    world::{State, World},
};

/// For how long an answer can be changed.
pub(super) const TOKEN: u64 = 15 * MINUTE;

/// How long it takes the chat at the most to know an answer.
const REGISTERED_WITHIN: u64 = 8 * SECOND;

/// How long after it has changed an answer a worker may die before it takes note.
const DEATH_WITHIN: u64 = 5 * MINUTE;

/// For how long two posts of one card are one message.
const NONCE: u64 = 3 * MINUTE;

/// A message that shows a world.
#[derive(Debug)]
pub(super) struct Card {
    place: usize,
    posted_at: u64,
    text: String,
    deleted_at: Option<u64>,
}

/// Whether the chat knows an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The first word of it has not come.
    NotYet,
    Yes,
    /// It came too late.
    Never,
}

/// What somebody was answered, which is to be changed as the world changes.
#[derive(Debug)]
pub(super) struct Answer {
    reply: ReplyId,
    born: u64,
    /// The world that it is about, once it was said that it follows it.
    follows: Option<usize>,
    known: Known,
    text: Option<String>,
    edited_at: u64,
}

/// What people were told last of a world.
#[derive(Debug, Default)]
pub(super) struct Shown {
    text: Option<String>,
    /// Between these two times.
    begun: u64,
    done: u64,
    /// It was perhaps never recorded: whoever told it died, or did not hear that it was told.
    in_vain: bool,
}

impl Shown {
    /// Takes note of what is on record as told.
    pub(super) fn recorded(&mut self, world: &World) {
        if world.talk.told.as_ref().map(|told| &told.sentence) == self.text.as_ref() {
            self.in_vain = false;
        }
    }
}

#[async_trait]
impl Chat for Sim {
    async fn tell(&self, world: &World, notice: &Notice) -> Result<Option<CardId>, Unavailable> {
        let (sentence, begun) = (words::notice(world, notice), self.now());
        let card = if self.lock().has_bot { self.show_card(world, notice, &sentence).await? } else { None };
        let late = self.edit_answers(world, &sentence, begun).await.err();
        match late {
            // Where there is a card, whoever looks finds what is so.
            Some(late) if card.is_none() => Err(late),
            Some(_) | None => Ok(card),
        }
    }
}

impl Sim {
    /// Turns the world's card into the sentence, or posts one if it has none, or it is gone.
    async fn show_card(
        &self,
        world: &World,
        notice: &Notice,
        sentence: &str,
    ) -> Result<Option<CardId>, Unavailable> {
        let begun = self.now();
        if let Some(card) = &world.talk.card
            && self.call(Call::Chat, |o| o.edit_card(world, card, sentence, begun)).await?
        {
            return Ok(Some(card.clone()));
        }
        // A world that is gone gets no new card.
        if world.talk.place.is_none() || *notice == Notice::Deleted {
            return Ok(None);
        }
        let (card, shows) = self.call(Call::Chat, |o| o.post_card(world, sentence, begun)).await?;
        let Some(card) = card else { return Ok(None) };
        if shows != sentence {
            self.call(Call::Chat, |o| o.edit_card(world, &card, sentence, begun)).await?;
        }
        Ok(Some(card))
    }

    /// Turns the answers that follow the world into the sentence.
    async fn edit_answers(&self, world: &World, sentence: &str, begun: u64) -> Result<(), Unavailable> {
        let now = self.lock().some_clock();
        let mut done = Ok(());
        for follower in world.talk.followers.iter().filter(|follower| follower.until > now) {
            let reply = &follower.reply;
            if self.lock().answer(reply).is_some_and(|answer| answer.known == Known::NotYet) {
                self.sleep(REGISTERED_WITHIN).await;
            }
            done = done.and(self.call(Call::Chat, |o| o.edit_answer(world, reply, sentence, begun)).await);
        }
        if !self.lock().has_bot && done.is_ok() {
            self.lock().shows(world, sentence, begun);
        }
        done
    }
}

impl Outside {
    /// Changes the card; tells whether it is still there.
    fn edit_card(&mut self, world: &World, card: &CardId, sentence: &str, begun: u64) -> bool {
        let Some(known) = self.card_mut(card).filter(|known| known.deleted_at.is_none()) else {
            return false;
        };
        known.text = sentence.to_owned();
        self.shows(world, sentence, begun);
        true
    }

    /// Posts a card and returns it, with what it shows: what it did before, if it was posted a moment ago.
    fn post_card(&mut self, world: &World, sentence: &str, begun: u64) -> (Option<CardId>, String) {
        let Some(place) = self.place_of(&world.id) else { return (None, sentence.into()) };
        let now = self.clock.now;
        let is_it =
            |card: &Card| card.place == place && card.deleted_at.is_none() && now < card.posted_at + NONCE;
        let number = self.cards.iter().position(is_it).unwrap_or_else(|| {
            let text = sentence.to_owned();
            self.cards.push(Card { place, posted_at: now, text, deleted_at: None });
            self.cards.len() - 1
        });
        let shows = self.cards[number].text.clone();
        if shows == sentence {
            self.shows(world, sentence, begun);
        }
        (CardId::parse(&format!("card-{number}")).ok(), shows)
    }

    /// Changes the answer, if it still can be; if not, it never can be again.
    fn edit_answer(&mut self, world: &World, reply: &ReplyId, sentence: &str, begun: u64) {
        let now = self.clock.now;
        if !self.has_bot {
            self.shows(world, sentence, begun);
        }
        let can_be = |answer: &&mut Answer| answer.known == Known::Yes && now < answer.born + TOKEN;
        if let Some(answer) = self.answers.iter_mut().find(|answer| answer.reply == *reply).filter(can_be) {
            (answer.text, answer.edited_at) = (Some(sentence.to_owned()), now);
        }
    }

    fn shows(&mut self, world: &World, sentence: &str, begun: u64) {
        let Some(place) = self.place_of(&world.id) else { return };
        let done = self.clock.now;
        // Until it is on record that they were told.
        self.places[place].shown = Shown { text: Some(sentence.to_owned()), begun, done, in_vain: true };
        self.say(|_| format!("people read: {sentence}"));
    }

    fn card_mut(&mut self, card: &CardId) -> Option<&mut Card> {
        self.cards.get_mut(card.as_str().strip_prefix("card-")?.parse::<usize>().ok()?)
    }

    fn answer(&self, reply: &ReplyId) -> Option<&Answer> {
        self.answers.iter().find(|answer| answer.reply == *reply)
    }

    /// Somebody deletes the world's card.
    pub(super) fn delete_card(&mut self, place: usize) {
        let now = self.clock.now;
        let Some(card) = self.places[place].record.talk.card.clone() else { return };
        let Some(known) = self.card_mut(&card).filter(|known| known.deleted_at.is_none()) else { return };
        known.deleted_at = Some(now);
        self.say(|o| format!("somebody deletes the card of {}", o.places[place].id));
    }

    /// Somebody asks for something, and waits for the answer.
    pub(super) fn awaits(&mut self, reply: &ReplyId) {
        let (reply, born) = (reply.clone(), self.clock.now);
        self.answers.push(Answer {
            reply,
            born,
            follows: None,
            known: Known::NotYet,
            text: None,
            edited_at: born,
        });
    }

    /// The answer has come, in time or not, and perhaps it was said that it follows a world.
    pub(super) fn is_answered(&mut self, reply: &ReplyId, known: Known, follows: Option<usize>) {
        if let Some(answer) = self.answers.iter_mut().find(|answer| answer.reply == *reply) {
            (answer.known, answer.follows) = (known, follows);
        }
    }

    /// What people read of a world in the end is so: on its card or, where there are no cards, in their answers.
    pub(super) fn law_of_reading(&mut self, place: usize) {
        let of = &self.places[place];
        let record = &of.record;
        // Whoever makes a world knows of it.
        if record.talk.place.is_none() || of.shown.in_vain || record.generation.0 == 0 {
            return;
        }
        let Some(so) = effect::notice(record).map(|notice| words::notice(record, &notice)) else { return };
        if self.has_bot { self.law_of_cards(place, &so) } else { self.law_of_answers(place, &so) }
    }

    fn law_of_cards(&mut self, place: usize, so: &str) {
        let of = &self.places[place];
        let (id, begun, card) = (of.id.clone(), of.shown.begun, of.record.talk.card.clone());
        let is_deleted = matches!(of.record.state, State::Deleted { .. });
        let card =
            card.and_then(|card| self.card_mut(&card)).map(|card| (card.text.clone(), card.deleted_at));
        let is_so = |card: &Card| card.place == place && card.deleted_at.is_none() && card.text == so;
        let is_elsewhere = self.cards.iter().any(is_so);
        match card {
            Some((text, None)) if text != so => {
                self.breaks(|| format!("people read `{text}` about {id}, and `{so}` is so"));
            }
            // One that was posted, and of which that was not heard, does as well.
            Some((_, Some(deleted_at))) if deleted_at < begun && !is_elsewhere => {
                self.breaks(|| format!("the card of {id} is gone, and there is no other one"));
            }
            None if !is_deleted => self.breaks(|| format!("{id} has no card, and `{so}` is so")),
            Some(_) | None => {}
        }
    }

    fn law_of_answers(&mut self, place: usize, so: &str) {
        let of = &self.places[place];
        let (id, shown, clocks) = (of.id.clone(), &of.shown, self.clocks());
        let newest = self.answers.iter().rev().filter(|answer| answer.follows == Some(place));
        // Some were meant to be followed whose asker never heard so: they take places, too.
        let missed = newest.take(MOST_FOLLOWERS / 2).find(|answer| {
            let is_old = answer.born + MINUTE < shown.begun;
            let is_open = shown.done + clocks < answer.born + TOKEN;
            // Whoever says something and dies leaves it at that.
            let told = answer.edited_at..answer.edited_at + DEATH_WITHIN;
            let is_left = self.deaths.iter().any(|death| told.contains(death));
            is_old && is_open && !is_left && answer.known == Known::Yes && answer.text.as_deref() != Some(so)
        });
        if let Some(text) = missed.map(|answer| answer.text.clone()) {
            self.breaks(|| format!("somebody's answer about {id} says {text:?}, and `{so}` is so"));
        }
    }
}
