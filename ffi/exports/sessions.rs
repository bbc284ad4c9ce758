//! Exports for autonomous sessions.

use crate::abi::*;
use crate::bytes::{lend, lend_optional};
use crate::convert::ending_of;
use crate::export;
use crate::export::{Handle, Out, Text};
use crate::hosts::caller::Caller;
use crate::memory::pool::aside_pool;
use aside_core::caller::call::Call;
use aside_core::caller::session;
use aside_core::error::Error;
use aside_core::wire::message::Ending;

export! {
    fn aside_session_open(pool: Handle<aside_pool>, host: Caller, call: Call, name: Text) raises(host) {
        session::open(&host, &pool.area, &pool.caller, &call, name.0)
    }
}

export! {
    fn aside_session_run(pool: Handle<aside_pool>, host: Caller, call: Call, name: Text, ending: Out<aside_ending>) raises(host) {
        ending.write(ending_of(&session::run(&host, &pool.area, &pool.caller, &call, name.0)?, true, false));
        Ok(())
    }
}

export! {
    fn aside_session_send(pool: Handle<aside_pool>, host: Caller, call: Call, name: Text) raises(host) {
        session::send(&host, &pool.area, &pool.caller, &call, name.0)
    }
}

export! {
    fn aside_session_result(pool: Handle<aside_pool>, host: Caller, call: Call, name: Text, tags: bool, ending: Out<aside_ending>) raises(host) {
        let found = session::result(&host, &pool.area, &pool.caller, &call, name.0, tags)?;
        ending.write(found.map_or_else(|| ending_of(&Ending::default(), false, false), |(end, rows)| ending_of(&end, true, rows)));
        Ok(())
    }
}

export! {
    fn aside_session_notifications(pool: Handle<aside_pool>, host: Caller, call: Call, name: Text) raises(host) {
        session::notifications(&host, &pool.area, &pool.caller, &call, name.0)
    }
}

export! {
    fn aside_session_close(pool: Handle<aside_pool>, host: Caller, call: Call, name: Text) raises(host) {
        session::close(&host, &pool.area, &pool.caller, &call, name.0)
    }
}

export! {
    fn aside_sessions_close(pool: Handle<aside_pool>, host: Caller, call: Call) raises(host) {
        session::close_all(&host, &pool.area, &pool.caller, &call)
    }
}

export! {
    fn aside_session_is_busy(pool: Handle<aside_pool>, host: Caller, name: Text, busy: Out<bool>) raises(host) {
        busy.write(session::is_busy(&host, &pool.area, &pool.caller, name.0)?);
        Ok(())
    }
}

export! {
    fn aside_session_cancel(pool: Handle<aside_pool>, host: Caller, name: Text, cancelled: Out<bool>) raises(host) {
        cancelled.write(session::cancel(&host, &pool.area, &pool.caller, name.0)?);
        Ok(())
    }
}

export! {
    fn aside_session_error(pool: Handle<aside_pool>, host: Caller, call: Call, name: Text, message: Out<aside_bytes>) raises(host) {
        let text = session::error(&pool.caller, &call, name.0)?;
        let some = text.is_some();
        let mut lent = pool.lent.borrow_mut();
        *lent = text.unwrap_or_default();
        message.write(lend_optional(some.then_some(lent.as_slice())));
        Ok(())
    }
}

export! {
    fn aside_session_failure(pool: Handle<aside_pool>, host: Caller, call: Call, name: Text) raises(host) {
        session::failure(&pool.caller, &call, name.0)?.map_or(Ok(()), |report| Err(Error::from(report)))
    }
}

export! {
    fn aside_session_database(pool: &aside_pool, name: Text) -> u32, otherwise(0) {
        name.0.and_then(|name| pool.caller.sessions.database(name)).unwrap_or(0)
    }
}

export! {
    fn aside_sessions_end(pool: Handle<aside_pool>, host: Caller) {
        session::abandon_all(&host, &pool.area, &pool.caller);
    }
}

export! {
    fn aside_view_session(pool: Handle<aside_pool>, index: u32, out: Out<aside_session_row>) -> bool, otherwise(false) {
        let Some(view) = session::view(&pool.area, &pool.caller, index as usize) else { return false };
        let mut lent = pool.lent.borrow_mut();
        *lent = view.name;
        out.write(aside_session_row {
            name: lend(&lent),
            database: view.database,
            pid: view.pid,
            busy: u32::from(view.busy),
            alive: u32::from(view.alive),
            opened: view.opened,
        });
        true
    }
}
