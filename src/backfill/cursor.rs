//! The cursors of stages that go feed by feed, as text.

use crate::engine::SharedId;
use crate::facts::Feed;

/// The cursor of a stage that goes feed by feed.
pub(super) fn shared((feed, value): &SharedId) -> String {
    format!("{}:{value}", feed.number())
}

/// The feed that comes after one.
pub(super) fn after(feeds: &[Feed], feed: Feed) -> Option<Feed> {
    feeds.iter().copied().skip_while(|other| *other != feed).nth(1)
}

/// The inverse of [`shared`].
pub(super) fn parse_shared(cursor: &str) -> Option<SharedId> {
    let (feed, value) = cursor.split_once(':')?;
    Some((Feed::from_number(feed.parse().ok()?)?, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back() {
        let cursor = (Feed::new(2), "a:b".to_owned());
        assert_eq!(parse_shared(&shared(&cursor)), Some(cursor));
        assert_eq!(parse_shared(""), None);
    }
}
