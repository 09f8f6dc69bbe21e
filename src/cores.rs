//! The processor's cores, where there is enough to do for them.
//!
//! Waking another thread takes as long as the row rules of several rows: what one change needs is computed where it is.

use rayon::prelude::*;

/// Fewer items are not worth the other threads.
const ITEMS: usize = 32;

/// The function applied to each item, in order.
pub fn map<T: Send, U: Send>(items: Vec<T>, each: impl Fn(T) -> U + Sync + Send) -> Vec<U> {
    if items.len() < ITEMS {
        return items.into_iter().map(each).collect();
    }
    items.into_par_iter().map(each).collect()
}

/// The function applied to each item that stays where it is, in order.
pub fn map_of<'a, T: Sync, U: Send>(
    items: &'a [T],
    each: impl Fn(&'a T) -> U + Sync + Send,
) -> Vec<U> {
    if items.len() < ITEMS {
        return items.iter().map(each).collect();
    }
    items.par_iter().map(each).collect()
}

/// Frees what takes long to free, beside what follows.
pub fn free<T: Send + 'static>(items: Vec<T>) {
    if items.len() >= ITEMS {
        rayon::spawn(move || drop(items));
    }
}
