//! Who waits for what, and whose turn it is.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use queue::{
    TaskId,
    watch::{Look, Question},
};
use service::backoff::jittered;
use tokio::{sync::Notify, time::Instant};

use super::pause;

/// Places by their numbers, some 200 bytes each.
#[derive(Debug)]
pub(super) struct Table {
    places: usize,
    taken: HashMap<u64, Waiter>,
    /// Whose turn comes when.
    turns: BTreeSet<(Instant, u64)>,
    last_place: u64,
    refused: u64,
}

#[derive(Debug)]
struct Waiter {
    id: TaskId,
    question: Question,
    /// Since when it has waited for its first or its next news.
    since: Instant,
    /// Its next turn.
    turn: Instant,
    /// What it was last told.
    seen: Option<Look>,
    news: Arc<Notify>,
}

/// Those whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Round {
    places: Vec<u64>,
    /// Each task once, in order: neighbours share pages of an index.
    questions: BTreeMap<TaskId, Question>,
}

impl Table {
    pub(super) fn new(places: usize) -> Self {
        Self { places, taken: HashMap::new(), turns: BTreeSet::new(), last_place: 0, refused: 0 }
    }

    /// Takes a place; its number, and what tells of news. None: all are taken.
    pub(super) fn insert(&mut self, id: TaskId, question: Question, now: Instant) -> Option<(u64, Arc<Notify>)> {
        if self.taken.len() >= self.places {
            self.refused += 1;
            return None;
        }
        self.last_place += 1;
        let (place, news, turn) = (self.last_place, Arc::new(Notify::new()), now + pause(std::time::Duration::ZERO));
        let waiter = Waiter { id, question, since: now, turn, seen: None, news: Arc::clone(&news) };
        self.taken.insert(place, waiter);
        self.turns.insert((turn, place));
        Some((place, news))
    }

    pub(super) fn remove(&mut self, place: u64) {
        if let Some(waiter) = self.taken.remove(&place) {
            self.turns.remove(&(waiter.turn, place));
        }
    }

    /// When it is somebody's turn.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.turns.first().map(|(turn, _)| *turn)
    }

    /// Those whose turn it is, at most so many. Their next turn comes after a pause, whatever becomes of this one.
    pub(super) fn take_due(&mut self, now: Instant, most: usize) -> Round {
        let mut round = Round::default();
        while round.places.len() < most
            && let Some((turn, place)) = self.turns.first().copied()
            && turn <= now
        {
            self.turns.pop_first();
            let waiter = self.taken.get_mut(&place).expect("whoever has a turn has a place");
            waiter.turn = now + jittered(pause(now - waiter.since));
            self.turns.insert((waiter.turn, place));
            round.places.push(place);
            let question = round.questions.entry(waiter.id).or_insert(waiter.question);
            if waiter.question == Question::State {
                *question = Question::State;
            }
        }
        round
    }

    /// Tells those of a round for whom the answers are news. Whoever follows a task is told again as soon as after the first time.
    pub(super) fn tell(&mut self, round: &Round, looks: &HashMap<TaskId, Look>, now: Instant) {
        for place in &round.places {
            let Some(waiter) = self.taken.get_mut(place) else { continue };
            let Some(look) = looks.get(&waiter.id) else { continue };
            let is_news = match waiter.question {
                Question::Outcome => look.status.is_final(),
                Question::State => waiter.seen != Some(*look),
            };
            if is_news {
                waiter.seen = Some(*look);
                waiter.since = now;
                waiter.news.notify_one();
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    pub(super) fn places(&self) -> usize {
        self.places
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

impl Round {
    /// What to ask of which tasks.
    pub(super) fn questions(&self) -> Vec<(TaskId, Question)> {
        self.questions.iter().map(|(id, question)| (*id, *question)).collect()
    }

    /// How many have their turn.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use queue::{BatchId, Status};

    use super::*;

    const SOON: Duration = Duration::from_millis(5);

    fn look(status: Status) -> Look {
        Look { status, attempt: 1, cancel_requested: false, progress_at: None }
    }

    fn is_told(news: &Notify) -> bool {
        news.notified().now_or_never().is_some()
    }

    #[test]
    fn a_task_is_asked_about_once_and_all_who_wait_are_told() {
        let (mut table, now, id) = (Table::new(9), Instant::now(), BatchId::new().task(0));
        let (_, outcome) = table.insert(id, Question::Outcome, now).unwrap();
        let (_, follower) = table.insert(id, Question::State, now).unwrap();
        let (gone, _) = table.insert(id, Question::Outcome, now).unwrap();
        assert_eq!(table.take_due(now, 9).places(), 0, "nobody's turn has come");
        let round = table.take_due(now + SOON, 9);
        assert_eq!((round.questions(), round.places()), (vec![(id, Question::State)], 3));
        table.remove(gone);
        table.tell(&round, &HashMap::from([(id, look(Status::Queued))]), now);
        assert_eq!((is_told(&outcome), is_told(&follower)), (false, true));
        table.tell(&round, &HashMap::from([(id, look(Status::Queued))]), now);
        assert!(!is_told(&follower), "it knows that already");
        table.tell(&round, &HashMap::from([(id, look(Status::Done))]), now);
        assert_eq!((is_told(&outcome), is_told(&follower)), (true, true));
        table.tell(&round, &HashMap::new(), now);
        assert_eq!((is_told(&outcome), is_told(&follower)), (false, false));
    }

    #[test]
    fn everybody_gets_a_turn_however_small_the_rounds() {
        let (mut table, now) = (Table::new(100), Instant::now());
        let ids: Vec<_> = (0..10).map(|_| BatchId::new().task(0)).collect();
        for id in &ids {
            table.insert(*id, Question::Outcome, now).unwrap();
        }
        let rounds: Vec<_> = (0..4).map(|_| table.take_due(now + SOON, 3)).collect();
        let asked: BTreeSet<_> = rounds.iter().flat_map(Round::questions).map(|(id, _)| id).collect();
        assert_eq!(asked, ids.into_iter().collect());
        assert_eq!(rounds[3].places(), 1, "those who had their turn wait for the next one");
    }

    #[test]
    fn who_hears_nothing_is_asked_about_ever_less_often_and_who_does_is_not() {
        let (mut table, now, id) = (Table::new(2), Instant::now(), BatchId::new().task(0));
        table.insert(id, Question::State, now).unwrap();
        let later = now + Duration::from_secs(30);
        let round = table.take_due(later, 1);
        assert!(table.next_due().unwrap() - later > Duration::from_millis(800));
        table.tell(&round, &HashMap::from([(id, look(Status::Processing))]), later);
        let much_later = later + Duration::from_secs(2);
        table.take_due(much_later, 1);
        assert!(table.next_due().unwrap() - much_later < Duration::from_millis(300), "a tenth of two seconds");
    }
}
