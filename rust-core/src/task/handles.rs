//! Which number stands for a task where a session knows its tasks by PIDs, as pg_background does, and for how long.
//!
//! The number is the PID of the task's worker. Workers are used again, so another task of the session may still be known
//! by that PID; the later task is then known by a number that is no PID.

/// No system has PIDs from here on.
const FIRST_NUMBER: i64 = 1_000_000_000;
/// A task that was read stays known, so that the next command finds its worker. A longer result makes room instead.
const KEPT_BYTES: u64 = 64 * 1024;
/// A task without a process after this time is queued, and may be so for long.
const QUEUED_MS: u32 = 100;

/// What is known of the PID of a task's worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pid {
    Known(u32),
    /// A process may be starting: look again.
    Later,
    /// The task waits for a worker, or will never have one.
    None,
}

/// The PID of a task that was started `waited_ms` ago, if a session waits for it for `most_ms` at most.
pub fn pid(pid: u32, started: bool, finished: bool, waited_ms: u32, most_ms: u32) -> Pid {
    if waited_ms >= most_ms {
        Pid::None
    } else if pid != 0 {
        Pid::Known(pid)
    } else if finished || (!started && waited_ms >= QUEUED_MS) {
        Pid::None
    } else {
        Pid::Later
    }
}

/// The number of a task that is known by no PID.
pub fn number(task: i64) -> i64 {
    FIRST_NUMBER + task.rem_euclid(FIRST_NUMBER)
}

/// Is the task known by its worker's PID? A cookie tells it from the task that the PID stands for already.
pub fn takes_pid(has_cookie: bool, taken: bool) -> bool {
    has_cookie || !taken
}

/// Does a session go on to know a task whose result it has read? What is known by a number is of no use any more.
pub fn lasts(number: i64, exists: bool, bytes: u64) -> bool {
    exists && bytes <= KEPT_BYTES && number < FIRST_NUMBER
}

/// Will nobody ask for the task any more? Its result was read, or is not wanted and has gone with the task.
pub fn is_over(consumed: bool, discarded: bool, exists: bool) -> bool {
    consumed || (discarded && !exists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_waited_for_while_a_process_may_be_starting() {
        assert_eq!(pid(7, true, false, 0, 100), Pid::Known(7));
        assert_eq!(pid(0, false, false, 99, 10_000), Pid::Later, "the process is starting");
        assert_eq!(pid(0, false, false, 100, 10_000), Pid::None, "the task is queued");
        assert_eq!(pid(0, true, false, 5_000, 10_000), Pid::Later, "it has begun, and says its PID soon");
        assert_eq!(pid(0, true, true, 0, 10_000), Pid::None, "it has ended");
        assert_eq!(pid(7, true, false, 10_000, 10_000), Pid::None, "the session waits no longer");
    }

    #[test]
    fn a_pid_stands_for_one_task_unless_a_cookie_tells_them_apart() {
        assert!(takes_pid(false, false) && takes_pid(true, true));
        assert!(!takes_pid(false, true));
    }

    #[test]
    fn numbers_are_no_pids_and_fit_an_integer() {
        for task in [0, 1, FIRST_NUMBER, i64::MAX, i64::MIN] {
            assert!((FIRST_NUMBER..2 * FIRST_NUMBER).contains(&number(task)), "of task {task}");
        }
        assert_ne!(number(1), number(2));
    }

    #[test]
    fn what_was_read_lasts_for_the_sake_of_its_worker_alone() {
        assert!(lasts(7, true, KEPT_BYTES));
        assert!(!lasts(7, true, KEPT_BYTES + 1) && !lasts(7, false, 0));
        assert!(!lasts(number(7), true, 0), "no worker is found by a number");
        assert!(is_over(true, false, true) && is_over(false, true, false));
        assert!(!is_over(false, true, true) && !is_over(false, false, false));
    }
}
