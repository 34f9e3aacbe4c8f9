//! What is worth a line in the log.

use std::time::Duration;

use tokio::time::Instant;

use crate::link::LinkError;

/// Shortest time between two complaints in the log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(30);

/// Decides what is worth a line in the log: an error that was not the last one, and its end; never more than one pair in a while.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    last: Option<(String, Instant)>,
    is_open: bool,
}

impl Complaints {
    /// Whether to tell of this error.
    pub(crate) fn are_news(&mut self, error: &LinkError) -> bool {
        let text = error.to_string();
        let are_news = match &self.last {
            None => true,
            Some((last, at)) => (!self.is_open || *last != text) && at.elapsed() >= COMPLAINT_INTERVAL,
        };
        if are_news {
            self.last = Some((text, Instant::now()));
            self.is_open = true;
        }
        are_news
    }

    /// Whether to tell that it works again.
    pub(crate) fn are_over(&mut self) -> bool {
        std::mem::take(&mut self.is_open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_per_change_and_never_a_flood() {
        let refused = LinkError::Redis(redis::RedisError::from((redis::ErrorKind::Io, "refused")));
        let mut complaints = Complaints::default();
        assert!(!complaints.are_over(), "nothing was wrong");
        assert!(complaints.are_news(&refused));
        assert!(!complaints.are_news(&refused), "the same again");
        assert!(!complaints.are_news(&LinkError::TimedOut), "too soon");
        tokio::time::advance(COMPLAINT_INTERVAL).await;
        assert!(!complaints.are_news(&refused), "still the same");
        assert!(complaints.are_news(&LinkError::TimedOut));
        assert!(complaints.are_over());
        assert!(!complaints.are_over());
        assert!(!complaints.are_news(&LinkError::TimedOut), "it comes and goes");
        assert!(!complaints.are_over());
        tokio::time::advance(COMPLAINT_INTERVAL).await;
        assert!(complaints.are_news(&LinkError::TimedOut));
    }
}
