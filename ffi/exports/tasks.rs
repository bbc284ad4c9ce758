//! Exports for tasks.

use crate::abi::*;
use crate::bytes::slice;
use crate::convert::{id_of, patience, start_of, task_row};
use crate::export;
use crate::export::{Handle, Out, Text};
use crate::hosts::caller::Caller;
use crate::memory::pool::aside_pool;
use crate::memory::tasks;
use aside_core::caller::call::Call;
use aside_core::caller::task::{self, End, Seen};
use aside_core::memory;
use aside_core::task::handles;
use std::ffi::c_void;

export! {
    fn aside_tasks_size(count: u32, memory: usize) -> usize, otherwise(0) {
        tasks::size(count as usize, memory)
    }
}

export! {
    fn aside_tasks_init(memory: *mut c_void, len: usize, count: u32, first_id: u64) -> aside_status::Type, otherwise(aside_status::ASIDE_PANIC) {
        // SAFETY: `len` zeroed bytes that nobody uses yet, per aside_abi.h.
        let fits = unsafe { tasks::init(memory.cast(), len, count as usize, first_id) };
        if fits { aside_status::ASIDE_OK } else { aside_status::ASIDE_GONE }
    }
}

export! {
    fn aside_tasks_recover(memory: *mut c_void, len: usize, now: i64, records: *mut u8, size: usize) -> u32, otherwise(0) {
        // SAFETY: laid out by aside_tasks_init, per aside_abi.h.
        let Some(table) = (unsafe { tasks::attach(memory.cast(), len) }) else { return 0 };
        // SAFETY: `size` bytes that nobody else touches meanwhile, per aside_abi.h; copied in, and out below.
        let Ok(mut copy) = (unsafe { memory::copy(slice(records, size), "the journal of tasks") }) else { return 0 };
        let lost = table.recover_from(now, &mut copy);
        // SAFETY: as above; `copy` is as long as the records are.
        unsafe { records.copy_from_nonoverlapping(copy.as_ptr(), copy.len()) };
        lost as u32
    }
}

export! {
    fn aside_tasks_attach(pool: Handle<aside_pool>, memory: *mut c_void, len: usize) -> bool, otherwise(false) {
        // SAFETY: `len` bytes laid out by aside_tasks_init and mapped until the process ends, per aside_abi.h.
        let Some(table) = (unsafe { tasks::attach(memory.cast(), len) }) else { return false };
        pool.caller.tasks.attach(table);
        pool.worker.attach_tasks(table);
        true
    }
}

export! {
    fn aside_task_submit(pool: Handle<aside_pool>, host: Caller, call: Call, start: &aside_task_start, id: Out<i64>) raises(host) {
        // SAFETY: its texts are readable during this call, per aside_abi.h.
        let start = unsafe { start_of(start) };
        id.write(task::submit(&host, &pool.area, &pool.caller, &call, &start)?);
        Ok(())
    }
}

export! {
    fn aside_task_wait(pool: Handle<aside_pool>, host: Caller, call: Call, ids: *const i64, count: usize, timeout_us: i64, ended: Out<i64>) raises(host) {
        // SAFETY: `count` ids that are readable during this call, per aside_abi.h.
        let ids = unsafe { slice(ids, count) }.iter().map(|id| id_of(*id));
        let ids = memory::collect(ids, "the tasks to wait for")?;
        let which = task::wait(&host, &pool.area, &pool.caller, &call, &ids, patience(timeout_us))?;
        ended.write(which.unwrap_or(0));
        Ok(())
    }
}

export! {
    fn aside_task_result(pool: Handle<aside_pool>, host: Caller, call: Call, id: i64, peek: bool) raises(host) {
        task::result(&host, &pool.area, &pool.caller, &call, id_of(id), peek)
    }
}

export! {
    fn aside_task_cancel(pool: Handle<aside_pool>, host: Caller, call: Call, id: i64, grace_us: i64, cancelled: Out<bool>) raises(host) {
        cancelled.write(task::cancel(&host, &pool.area, &pool.caller, &call, id_of(id), patience(grace_us))?);
        Ok(())
    }
}

export! {
    fn aside_task_detach(pool: Handle<aside_pool>, host: Caller, id: i64) raises(host) {
        task::detach(&host, &pool.caller, id_of(id))
    }
}

export! {
    fn aside_task_progress(pool: Handle<aside_pool>, host: Caller, percent: f64, message: Text) -> bool, otherwise(false) {
        task::progress(&host, &pool.area, &pool.caller, percent, message.0.unwrap_or_default())
    }
}

export! {
    fn aside_tasks_transaction(pool: Handle<aside_pool>, host: Caller, end: aside_transaction_end::Type, own: u32, parent: u32) {
        let end = match end {
            aside_transaction_end::ASIDE_END_COMMIT => End::Commit,
            aside_transaction_end::ASIDE_END_SUBCOMMIT => End::SubCommit { own, parent },
            aside_transaction_end::ASIDE_END_SUBABORT => End::SubAbort { own },
            _ => End::Abort,
        };
        task::transaction_ends(&host, &pool.area, &pool.caller, end);
    }
}

export! {
    fn aside_tasks_pending(pool: &aside_pool) -> bool, otherwise(false) {
        task::some_pending(&pool.caller)
    }
}

export! {
    fn aside_tasks_kick(pool: Handle<aside_pool>, host: Caller, retention_us: i64) {
        task::kick(&host, &pool.area, &pool.caller, retention_us);
    }
}

export! {
    fn aside_view_task(pool: Handle<aside_pool>, host: Caller, index: u32, out: Out<aside_task_row>) raises(host), status {
        Ok(seen(&pool, task::view(&host, &pool.area, &pool.caller, index)?, &out))
    }
}

export! {
    fn aside_task_counts(pool: Handle<aside_pool>, counts: *mut u64) -> i64, otherwise(0) {
        let mut states = [0; aside_counts::ASIDE_TASK_STATE_COUNT as usize];
        let oldest = task::counts(&pool.caller, &mut states);
        if counts.is_null() {
            return 0;
        }
        // SAFETY: room for a number for each state, per aside_abi.h.
        unsafe { counts.copy_from_nonoverlapping(states.as_ptr(), states.len()) };
        oldest.unwrap_or(0)
    }
}

export! {
    fn aside_find_task(pool: Handle<aside_pool>, host: Caller, id: i64, out: Out<aside_task_row>) raises(host), status {
        Ok(seen(&pool, task::view_of(&host, &pool.area, &pool.caller, id)?, &out))
    }
}

fn seen(pool: &aside_pool, seen: Seen, out: &Out<aside_task_row>) -> aside_status::Type {
    match seen {
        Seen::Row(view, pid) => {
            out.write(task_row(view, pid, &mut pool.lent_texts.borrow_mut()));
            aside_status::ASIDE_OK
        }
        Seen::Hidden => aside_status::ASIDE_GONE,
        Seen::Over => aside_status::ASIDE_LEAVE,
    }
}

export! {
    fn aside_handle_pid(pid: u32, started: bool, finished: bool, waited_ms: u32, most_ms: u32) -> i64, otherwise(0) {
        match handles::pid(pid, started, finished, waited_ms, most_ms) {
            handles::Pid::Known(pid) => i64::from(pid),
            handles::Pid::Later => -1,
            handles::Pid::None => 0,
        }
    }
}

export! {
    fn aside_handle_number(task: i64) -> i64, otherwise(0) {
        handles::number(task)
    }
}

export! {
    fn aside_handle_takes_pid(has_cookie: bool, taken: bool) -> bool, otherwise(false) {
        handles::takes_pid(has_cookie, taken)
    }
}

export! {
    fn aside_handle_lasts(number: i64, exists: bool, bytes: u64) -> bool, otherwise(false) {
        handles::lasts(number, exists, bytes)
    }
}

export! {
    fn aside_handle_is_over(consumed: bool, discarded: bool, exists: bool) -> bool, otherwise(false) {
        handles::is_over(consumed, discarded, exists)
    }
}
