//! The last line of log, and what the exit code says.

use service::exit::Failure;
use tracing::info;
use uuid::Uuid;

use super::ledger::{Book, Ledger};

/// Most ids named of each sort.
const NAMED: usize = 5;

/// Why a run ended.
#[derive(Debug)]
pub(super) enum End {
    /// Every task was acknowledged, and is final or missing.
    Complete,
    Deadline,
    Stopped,
    /// A request was refused for good.
    Refused(String),
}

/// A run that is over.
#[derive(Debug)]
pub(super) struct Summary {
    tasks: u32,
    book: Book,
}

impl Summary {
    pub(super) fn new(tasks: u32, ledger: Ledger) -> Self {
        let mut book = ledger.close();
        book.submit_ms.sort_unstable_by(f32::total_cmp);
        book.final_ms.sort_unstable_by(f32::total_cmp);
        Self { tasks, book }
    }

    /// One line. Times are in milliseconds; what was not measured is left out.
    pub(super) fn log(&self) {
        let (book, totals) = (&self.book, &self.book.totals);
        let submitting = book.submitting.map(|(first, last)| last.duration_since(first).as_secs_f64());
        let running = book.running.map(|(first, last)| (last - first).as_seconds_f64());
        info!(
            done = totals.done,
            failed = totals.failed,
            cancelled = totals.cancelled,
            missing = book.missing.len(),
            not_final = book.open.len(),
            submits_per_second = submitting.and_then(|seconds| per_second(totals.acknowledged, seconds)),
            tasks_per_second = running.and_then(|seconds| per_second(totals.finals(), seconds)),
            submit_p50_ms = percentile(&book.submit_ms, 50),
            submit_p99_ms = percentile(&book.submit_ms, 99),
            final_p50_ms = percentile(&book.final_ms, 50),
            final_p99_ms = percentile(&book.final_ms, 99),
            requests = totals.requests,
            retries = totals.retries,
            unknown = totals.unknown,
            "{} of {} final",
            totals.finals(),
            self.tasks
        );
    }

    /// Success when every task was acknowledged and is final, however it ended.
    pub(super) fn verdict(&self, end: End) -> Result<(), Failure> {
        let totals = &self.book.totals;
        let mut wrong = self.wrong();
        match end {
            End::Complete if wrong.is_empty() => Ok(()),
            End::Complete => Err(Failure::software(wrong.join("; "))),
            End::Refused(reason) => {
                wrong.insert(0, format!("the API refuses a request: {reason}"));
                Err(Failure::software(wrong.join("; ")))
            }
            End::Stopped => {
                wrong.insert(0, "stopped by a signal".to_owned());
                Err(Failure::software(wrong.join("; ")))
            }
            End::Deadline => {
                wrong.insert(0, "the deadline is over".to_owned());
                // What a task became cannot be told without the API; that one was missing can.
                match &totals.away {
                    Some(reason) if self.book.missing.is_empty() && totals.doubled == 0 => {
                        wrong.push(format!("the API is away: {reason}"));
                        Err(Failure::unavailable(wrong.join("; ")))
                    }
                    _ => Err(Failure::software(wrong.join("; "))),
                }
            }
        }
    }

    fn wrong(&self) -> Vec<String> {
        let (book, totals) = (&self.book, &self.book.totals);
        let mut wrong = Vec::new();
        if !book.missing.is_empty() {
            wrong.push(format!("accepted and missing: {} ({})", book.missing.len(), named(&book.missing)));
        }
        if totals.doubled > 0 {
            wrong.push(format!("ids given out twice: {}", totals.doubled));
        }
        if !book.open.is_empty() {
            wrong.push(format!("accepted and not final: {} ({})", book.open.len(), named(&book.open)));
        }
        if totals.acknowledged + totals.doubled < u64::from(self.tasks) {
            let last =
                totals.last_refusal.as_ref().map_or(String::new(), |reason| format!(" (last refusal: {reason})"));
            wrong.push(format!("only {} of {} tasks were accepted{last}", totals.acknowledged, self.tasks));
        }
        wrong
    }
}

fn named<'a>(ids: impl IntoIterator<Item = &'a Uuid, IntoIter: ExactSizeIterator>) -> String {
    let ids = ids.into_iter();
    let rest = if ids.len() > NAMED { ", .." } else { "" };
    ids.take(NAMED).map(Uuid::to_string).collect::<Vec<_>>().join(", ") + rest
}

fn per_second(count: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| rounded(count as f64 / seconds))
}

/// The smallest value that so many percent are not above.
fn percentile(sorted: &[f32], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).map(|value| rounded(f64::from(*value)))
}

/// To a tenth.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use queue::Status;

    use super::*;
    use crate::load_test::client::Task;

    /// Of three tasks two were accepted: 1, which ended, and 2.
    fn ledger() -> Ledger {
        let ledger = Ledger::default();
        for id in [1, 2] {
            ledger.sending();
            ledger.acknowledged(Uuid::from_u128(id), Duration::from_millis(1));
        }
        let time = DateTime::UNIX_EPOCH;
        ledger.seen(&Task { id: Uuid::from_u128(1), status: Status::Failed, created_at: time, updated_at: time });
        ledger
    }

    fn failure(tasks: u32, ledger: Ledger, end: End) -> String {
        format!("{:?}", Summary::new(tasks, ledger).verdict(end).unwrap_err())
    }

    #[test]
    fn the_exit_code_tells_a_lost_task_from_an_api_that_is_away() {
        let (software, unavailable) = ("code: 70", "code: 69");
        let two = Uuid::from_u128(2).to_string();
        let late = failure(3, ledger(), End::Deadline);
        assert!(late.contains(software) && late.contains(&two) && late.contains("only 2 of 3"), "{late}");

        let away = ledger();
        away.set_away(Some("no route".to_owned()));
        let away = failure(3, away, End::Deadline);
        assert!(away.contains(unavailable) && away.contains(&two) && away.contains("no route"), "{away}");

        for end in [End::Complete, End::Deadline] {
            let lost = ledger();
            lost.missing(Uuid::from_u128(2));
            lost.set_away(Some("no route".to_owned()));
            let lost = failure(2, lost, end);
            assert!(
                lost.contains(software) && lost.contains("accepted and missing: 1") && lost.contains(&two),
                "{lost}"
            );
        }
        for end in [End::Stopped, End::Refused("HTTP 422".to_owned())] {
            assert!(failure(2, ledger(), end).contains(software));
        }

        let doubled = ledger();
        doubled.sending();
        doubled.acknowledged(Uuid::from_u128(1), Duration::ZERO);
        assert!(failure(3, doubled, End::Complete).contains("ids given out twice: 1"));

        let fine = ledger();
        let time = DateTime::UNIX_EPOCH;
        fine.seen(&Task { id: Uuid::from_u128(2), status: Status::Cancelled, created_at: time, updated_at: time });
        assert!(Summary::new(2, fine).verdict(End::Complete).is_ok(), "failed and cancelled are final");
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f32> = (1..=200).map(|value| value as f32).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (Some(100.0), Some(198.0)));
        assert_eq!((percentile(&[7.0], 50), percentile(&[7.0], 99), percentile(&[], 50)), (Some(7.0), Some(7.0), None));
        assert_eq!((per_second(3, 2.0), per_second(3, 0.0)), (Some(1.5), None));
    }
}
