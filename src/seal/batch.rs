//! Chunks in bounded batches: one thread reads and writes in order, all of them compute.
//!
//! Memory is two batches whatever the length of the file, and the result is the same for any number
//! of workers, since everything that depends on order happens on the calling thread.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    thread,
};

use super::chunk::Slot;

/// Slots in a batch: 4 MiB of chunks, some milliseconds of work, so that starting a thread for it
/// does not show.
const BATCH: usize = 256;
/// Slots a worker takes at a time.
const GROUP: usize = 8;

#[derive(Default)]
struct Batch {
    slots: Vec<Slot>,
    filled: usize,
}

impl Batch {
    fn fill<E>(&mut self, source: &mut impl FnMut(&mut Slot) -> Result<bool, E>) -> Result<(), E> {
        self.filled = 0;
        while self.filled < BATCH {
            if self.slots.len() == self.filled {
                self.slots.push(Slot::new());
            }
            if !source(&mut self.slots[self.filled])? {
                break;
            }
            self.filled += 1;
        }
        Ok(())
    }

    fn drain<E>(&mut self, sink: &mut impl FnMut(&mut Slot) -> Result<(), E>) -> Result<(), E> {
        self.slots[..self.filled].iter_mut().try_for_each(sink)
    }
}

/// Fills slots from `source` until it says false, has `workers` threads do `work` on each, and
/// gives them to `sink` in the order in which they came. `source` may be asked again after its
/// false. Stops at the first error.
pub(super) fn run<E>(
    workers: NonZeroUsize,
    mut source: impl FnMut(&mut Slot) -> Result<bool, E>,
    work: impl Fn(&mut Slot) + Sync,
    mut sink: impl FnMut(&mut Slot) -> Result<(), E>,
) -> Result<(), E> {
    let (mut now, mut done) = (Batch::default(), Batch::default());
    now.fill(&mut source)?;
    while now.filled > 0 {
        let helpers = (workers.get() - 1).min(now.filled.div_ceil(GROUP) - 1);
        let queue = Mutex::new(now.slots[..now.filled].chunks_mut(GROUP));
        let toil = || {
            loop {
                let group = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                match group {
                    Some(group) => group.iter_mut().for_each(&work),
                    None => break,
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(toil);
            }
            done.drain(&mut sink)?;
            done.fill(&mut source)?;
            toil();
            Ok(())
        })?;
        std::mem::swap(&mut now, &mut done);
    }
    done.drain(&mut sink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_out_in_order_and_worked_on_for_any_number_of_workers() {
        for workers in [1, 2, 7] {
            for count in [0u64, 1, 9, 256, 257, 1000] {
                let (mut next, mut out) = (0, Vec::new());
                run(
                    NonZeroUsize::new(workers).unwrap(),
                    |slot| {
                        slot.index = next;
                        next += 1;
                        Ok::<_, ()>(next <= count)
                    },
                    |slot| slot.tranche = slot.index as u32 * 2,
                    |slot| {
                        out.push((slot.index, slot.tranche));
                        Ok(())
                    },
                )
                .unwrap();
                assert_eq!(out, (0..count).map(|i| (i, i as u32 * 2)).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn an_error_on_either_side_stops_it() {
        let two = NonZeroUsize::new(2).unwrap();
        let mut left = 600;
        let source = |_: &mut Slot| {
            left -= 1;
            if left == 0 { Err("source") } else { Ok(true) }
        };
        assert_eq!(run(two, source, |_| {}, |_| Ok(())), Err("source"));
        assert_eq!(run(two, |_| Ok(true), |_| {}, |_| Err("sink")), Err("sink"));
    }
}
