//! Orders to the services, and which of them ends which.

use std::collections::VecDeque;

use tandem_core::{ServiceFailure, ServiceStop};
use tokio::sync::{mpsc, oneshot};

use super::driver::Driver;

/// Orders that wait until the present one is done. A caller has at most a few under way.
const WAITING_MAX: usize = 16;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    Start,
    Restart,
    Adopt,
    Stop(ServiceStop),
}

/// What is to be done, and who waits for it.
#[derive(Debug)]
pub struct Order {
    pub work: Work,
    pub answer: oneshot::Sender<Result<(), ServiceFailure>>,
}

impl Order {
    fn cancel(self, config_name: &str) {
        // Who does not wait any more needs no answer.
        let _ = self.answer.send(Err(ServiceFailure {
            name: config_name.to_owned(),
            reason: "a stop was ordered before it was done".to_owned(),
            hopeless: false,
            requested: false,
        }));
    }
}

/// What becomes of a new order while another one is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It gets the outcome of the present one.
    Joins,
    /// The present one fails, the new one is carried out.
    Ends,
    /// The present one goes on as the new one: a stop becomes harder.
    Sharpens,
    /// It waits.
    Follows,
}

const fn fate(present: Work, new: Work) -> Fate {
    use ServiceStop::{Force, Orderly};
    match (present, new) {
        (Work::Stop(Orderly), Work::Stop(Force)) => Fate::Sharpens,
        (Work::Stop(Force | Orderly), Work::Stop(Orderly))
        | (Work::Stop(Force), Work::Stop(Force))
        | (Work::Start, Work::Start)
        | (Work::Restart, Work::Restart)
        | (Work::Adopt, Work::Adopt) => Fate::Joins,
        (Work::Start | Work::Restart | Work::Adopt, Work::Stop(_)) => Fate::Ends,
        (Work::Start, Work::Restart | Work::Adopt)
        | (Work::Restart, Work::Start | Work::Adopt)
        | (Work::Adopt, Work::Start | Work::Restart)
        | (Work::Stop(_), Work::Start | Work::Restart | Work::Adopt) => Fate::Follows,
    }
}

/// Carries out orders one at a time and watches in between, until nobody can order any more.
pub async fn carry_out(
    mut driver: Driver,
    mut incoming: mpsc::Receiver<Order>,
    failures: mpsc::Sender<ServiceFailure>,
) {
    let mut waiting = VecDeque::new();
    loop {
        let order = match waiting.pop_front() {
            Some(order) => order,
            None => tokio::select! {
                order = incoming.recv() => match order {
                    Some(order) => order,
                    None => return,
                },
                failure = driver.watch() => {
                    // When nobody listens any more, nobody can order either.
                    let _ = failures.send(failure).await;
                    continue;
                }
            },
        };
        perform(&mut driver, order, &mut incoming, &mut waiting).await;
    }
}

async fn perform(
    driver: &mut Driver,
    order: Order,
    incoming: &mut mpsc::Receiver<Order>,
    waiting: &mut VecDeque<Order>,
) {
    let mut present = order.work;
    let mut callers = vec![order.answer];
    let module = driver.module().to_owned();
    let outcome = 'work: loop {
        let mut work = std::pin::pin!(driver.perform(present));
        let mut open = true;
        loop {
            let new = tokio::select! {
                biased;
                new = incoming.recv(), if open => new,
                outcome = &mut work => break 'work outcome,
            };
            let Some(new) = new else {
                open = false;
                continue;
            };
            if matches!(new.work, Work::Stop(_)) {
                waiting.drain(..).for_each(|order| order.cancel(&module));
            }
            match fate(present, new.work) {
                Fate::Joins => callers.push(new.answer),
                Fate::Follows if waiting.len() < WAITING_MAX => waiting.push_back(new),
                Fate::Follows => new.cancel(&module),
                Fate::Ends => {
                    for answer in callers.drain(..) {
                        let work = present;
                        Order { work, answer }.cancel(&module);
                    }
                    present = new.work;
                    callers.push(new.answer);
                    continue 'work;
                }
                Fate::Sharpens => {
                    present = new.work;
                    callers.push(new.answer);
                    continue 'work;
                }
            }
        }
    };
    for answer in callers {
        let _ = answer.send(outcome.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_whatever_starts_and_force_sharpens_it() {
        for how in [ServiceStop::Orderly, ServiceStop::Force] {
            assert_eq!(fate(Work::Start, Work::Stop(how)), Fate::Ends);
            assert_eq!(fate(Work::Restart, Work::Stop(how)), Fate::Ends);
            assert_eq!(fate(Work::Stop(how), Work::Start), Fate::Follows);
        }
        let orderly = Work::Stop(ServiceStop::Orderly);
        let force = Work::Stop(ServiceStop::Force);
        assert_eq!(fate(orderly, force), Fate::Sharpens);
        assert_eq!(fate(force, orderly), Fate::Joins);
    }
}
