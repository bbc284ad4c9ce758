//! What every process of the world has in common.

/// What the core's `World` is for every process here, be it a caller or a worker.
macro_rules! of_any_process {
    () => {
        fn now_us(&self) -> u64 {
            self.me.now_us()
        }
        fn cpus(&self) -> u32 {
            2
        }
        fn my_pid(&self) -> u32 {
            self.me.pid
        }
        fn my_proc(&self) -> u32 {
            self.me.proc
        }
        fn interrupt_pending(&self) -> bool {
            self.me.cancel.load(SeqCst) || self.me.die.load(SeqCst)
        }
        fn terminating(&self) -> bool {
            self.me.die.load(SeqCst)
        }
        fn wake(&self, proc: u32) {
            if let Some(other) = self.world.by_latch(proc) {
                other.wake();
            }
        }
        fn clear_latch(&self) {
            self.me.clear();
        }
        fn naps(&self) -> bool {
            self.world.naps.load(SeqCst)
        }
        fn nap(&self, word: &std::sync::atomic::AtomicU32, is: u32, timeout_ms: u32) -> crate::host::Slept {
            self.world.nap(&self.me, word, is, timeout_ms)
        }
        fn processor(&self) -> Option<u32> {
            Some(self.me.pid % 2)
        }
        fn allowed(&self, pid: u32) -> Option<crate::pool::place::Processors> {
            Some(self.world.allowed(pid))
        }
        fn allow(&self, pid: u32, processors: &crate::pool::place::Processors) {
            self.world.kept.lock().unwrap().insert(pid, *processors);
        }
        fn rouse(&self, _: &std::sync::atomic::AtomicU32) {
            self.world.rouse();
        }
        fn pins_wanted(&self) -> Vec<u32> {
            self.world.pins_wanted(self.me.pid)
        }
        fn relax(&self) {
            self.me.pass_us(1);
        }
    };
}
pub(super) use of_any_process;
