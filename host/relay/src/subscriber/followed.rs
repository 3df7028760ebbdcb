use std::time::Duration;

use tokio::time::Instant;

/// The reader that is followed: the one with the highest epoch, for as long as it can be heard.
#[derive(Debug, Default)]
pub(super) struct Followed(Option<(u64, Instant)>);

/// What a word of a reader means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It is the one that is followed.
    Same,
    /// It has taken over.
    New,
    /// It has been replaced.
    Earlier,
    /// Its epoch is lower, but the one that was followed has long been silent: epochs have begun anew.
    Restarted,
}

impl Followed {
    /// Much longer than a reader is silent, and than one that was frozen takes to notice that it has been replaced.
    const SILENT: Duration = Duration::from_secs(10);

    pub(super) fn epoch(&self) -> Option<u64> {
        self.0.map(|(epoch, _)| epoch)
    }

    pub(super) fn hear(&mut self, epoch: u64, now: Instant) -> Word {
        let word = match self.0 {
            Some((held, _)) if held == epoch => Word::Same,
            Some((held, heard)) if epoch < held && now.duration_since(heard) < Self::SILENT => return Word::Earlier,
            Some((held, _)) if epoch < held => Word::Restarted,
            _ => Word::New,
        };
        self.0 = Some((epoch, now));
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_reader_is_followed_only_once_the_later_one_has_long_been_silent() {
        let (mut followed, now) = (Followed::default(), Instant::now());
        assert_eq!(followed.hear(5, now), Word::New);
        assert_eq!(followed.hear(5, now), Word::Same);
        assert_eq!(followed.hear(6, now), Word::New);
        assert_eq!(followed.hear(5, now + Followed::SILENT / 2), Word::Earlier);
        assert_eq!(followed.hear(6, now + Followed::SILENT / 2), Word::Same);
        assert_eq!(followed.hear(1, now + Followed::SILENT), Word::Earlier);
        assert_eq!(followed.hear(1, now + 2 * Followed::SILENT), Word::Restarted);
        assert_eq!(followed.epoch(), Some(1));
    }
}
