//! Reads the acknowledged tasks until each of them is final.
//!
//! By pages of the list: a page costs the API about what a single task does, and tells about up to 500 of them. Oldest first, for
//! those end first. Where tasks have ended it reads on at once, for each of them has to be read once; where none has, it rests.

use std::{collections::HashMap, time::Duration};

use queue::inspect::PAGE_LIMIT;
use service::backoff::{Backoff, jittered};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    answer::Trouble,
    client::{Client, Page, Task},
    ledger::Ledger,
};

/// Between two rounds. Only how soon the end is noticed depends on it: times are the database's.
const REST: Duration = Duration::from_millis(500);
/// How much longer than it read it rests after it read in vain, so that reading leaves the system to those who are measured.
const REST_PER_READ: u32 = 3;

/// Ends when so many tasks were acknowledged and none of them is open; an error is a refusal for good.
pub(super) async fn until_all_final(client: &Client, ledger: &Ledger, tasks: u32) -> Result<(), String> {
    let mut backoff = Backoff::default();
    loop {
        match round(client, ledger).await {
            Ok(()) if ledger.is_over(tasks) => return Ok(()),
            Ok(()) => {
                backoff.reset();
                sleep(jittered(REST)).await;
            }
            Err(Trouble::Again(again)) => sleep(again.after + backoff.next_wait()).await,
            Err(Trouble::Refused(reason)) => return Err(reason),
        }
    }
}

/// Looks once at every task that is open when it comes to it.
async fn round(client: &Client, ledger: &Ledger) -> Result<(), Trouble> {
    let mut above = None;
    loop {
        // Before they are asked for, so that each of them is older than the answer.
        let open = ledger.oldest_open(above, PAGE_LIMIT);
        let Some(newest) = open.last() else { return Ok(()) };
        above = Some(*newest);
        let began = Instant::now();
        if !read(client, ledger, &open).await? {
            sleep(jittered(began.elapsed() * REST_PER_READ)).await;
        }
    }
}

/// Reads these tasks; whether one of them is not open any more. Pages go from the newest down, and each one starts at the next of
/// these tasks, whatever lies in between.
async fn read(client: &Client, ledger: &Ledger, open: &[Uuid]) -> Result<bool, Trouble> {
    let mut has_closed = false;
    let mut left = open;
    while let Some(newest) = left.last() {
        let page = client.page(*newest, left.len()).await?;
        let (rest, covered) = left.split_at(first_covered(left, &page));
        let tasks: HashMap<Uuid, Task> = page.tasks.iter().map(|task| (task.id, *task)).collect();
        for id in covered {
            let task = match tasks.get(id) {
                Some(task) => Some(*task),
                // Not on the page it belongs to: whether it exists is for a question of its own to say.
                None => client.task(*id).await?,
            };
            has_closed |= match task {
                Some(task) => ledger.seen(&task),
                None => ledger.missing(*id),
            };
        }
        left = rest;
    }
    Ok(has_closed)
}

/// Where those of the ids begin that the page has looked at. It started at the last of them, so that one is always among them.
fn first_covered(ids: &[Uuid], page: &Page) -> usize {
    let first = page.next_cursor.map_or(0, |next| ids.partition_point(|id| *id < next));
    first.min(ids.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_about_the_ids_down_to_where_the_next_one_starts() {
        let ids = [2, 4, 7, 9].map(Uuid::from_u128);
        for (next, first) in [
            (None, 0),
            (Some(1), 0),
            // The edge belongs to the page.
            (Some(4), 1),
            (Some(5), 2),
            (Some(9), 3),
            // An answer that makes no sense gets on all the same.
            (Some(10), 3),
        ] {
            let page = Page { tasks: Vec::new(), next_cursor: next.map(Uuid::from_u128) };
            assert_eq!(first_covered(&ids, &page), first, "{next:?}");
        }
    }
}
