//! Hands out spans of the world's columns: first fit, neighbours merged, the end given back.

/// A run of places in the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// First place.
    pub(crate) start: usize,
    /// Number of places.
    pub(crate) len: usize,
}

impl Span {
    pub(crate) const fn end(self) -> usize {
        self.start + self.len
    }
}

/// Which places are taken.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    /// Free spans below `end`, ascending, never touching each other or `end`.
    free: Vec<Span>,
    end: usize,
}

impl Spans {
    /// One past the last place in use.
    pub(crate) const fn end(&self) -> usize {
        self.end
    }

    /// Places below the end that nobody uses.
    pub(crate) fn wasted(&self) -> usize {
        self.free.iter().map(|span| span.len).sum()
    }

    /// Takes `len` places; the caller grows the columns when the end moved.
    pub(crate) fn take(&mut self, len: usize) -> Span {
        if len == 0 {
            return Span::default();
        }
        if let Some((index, span)) = self.free.iter_mut().enumerate().find(|(_, span)| span.len >= len) {
            let taken = Span { start: span.start, len };
            (span.start, span.len) = (span.start + len, span.len - len);
            if span.len == 0 {
                self.free.remove(index);
            }
            return taken;
        }
        let taken = Span { start: self.end, len };
        self.end += len;
        taken
    }

    /// Gives back a span that was taken.
    pub(crate) fn give(&mut self, span: Span) {
        if span.len == 0 {
            return;
        }
        let at = self.free.partition_point(|other| other.start < span.start);
        self.free.insert(at, span);
        self.free.dedup_by(|next, kept| {
            let touch = kept.end() == next.start;
            if touch {
                kept.len += next.len;
            }
            touch
        });
        if let Some(last) = self.free.last().copied().filter(|last| last.end() == self.end) {
            self.end = last.start;
            self.free.pop();
        }
    }

    /// Forgets all free spans: everything in use now lies below `end`.
    pub(crate) fn compacted(&mut self, end: usize) {
        self.free.clear();
        self.end = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn spans_never_overlap_and_nothing_is_lost(ops in prop::collection::vec((0_usize..40, any::<bool>()), 1..200)) {
            let (mut spans, mut taken) = (Spans::default(), Vec::<Span>::new());
            for (number, release) in ops {
                if release && !taken.is_empty() {
                    spans.give(taken.swap_remove(number % taken.len()));
                } else {
                    taken.push(spans.take(number));
                }
                let mut sorted: Vec<_> = taken.iter().filter(|span| span.len > 0).collect();
                sorted.sort_by_key(|span| span.start);
                prop_assert!(sorted.windows(2).all(|pair| pair[0].end() <= pair[1].start), "{sorted:?}");
                let used: usize = taken.iter().map(|span| span.len).sum();
                prop_assert_eq!(used + spans.wasted(), spans.end());
                prop_assert_eq!(spans.end(), sorted.last().map_or(0, |span| span.end()));
            }
        }
    }
}
