# Claim: a server that is recovered to a moment in the past has the handlers, events and schedules of that moment, and goes on from
# there; a delayed standby runs nothing until it is promoted, and then nothing twice.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, has_archiving => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_aside'\nmax_worker_processes = 20\n");
$primary->start;
$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_aside;
CREATE TABLE told (what text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION handle(what text) RETURNS void LANGUAGE sql AS 'INSERT INTO told VALUES (what)';
SELECT async_event_on('a', 'handle(text)'), async_event_on('held', 'handle(text)');
SELECT schedule_set('s', 'every 1 second', $$INSERT INTO told VALUES ('tick')$$);
SELECT async_event_pause('held');
SQL
$primary->backup('b');
my $delayed = PostgreSQL::Test::Cluster->new('delayed');
$delayed->init_from_backup($primary, 'b', has_streaming => 1);
$delayed->start;
# It waits before each commit from now on, and must have begun to stream by then.
$primary->wait_for_catchup($delayed, 'replay', $primary->lsn('write'));
$delayed->append_conf('postgresql.conf', "recovery_min_apply_delay = '1h'\n");
$delayed->reload;
$delayed->poll_query_until('postgres', q{SELECT current_setting('recovery_min_apply_delay') = '1h'}) or die 'no delay';

my $s = session($primary);
my $before = $s->value(q{SELECT async_event_emit('a', '"before"')});
ok($s->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'before')}), 'an event is handled');
$s->value(q{SELECT async_event_emit('held', '"held"')});
$s->value(q{SELECT pg_create_restore_point('middle')});
$s->value($_) for (q{SELECT async_event_emit('a', '"after"')}, q{SELECT async_event_cancel(id) FROM aside.events WHERE channel = 'held'},
	q{SELECT async_event_off('held')}, q{SELECT schedule_drop('s')});
ok($s->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'after')}), 'another one later');
$s->value('SELECT pg_switch_wal()');
ok($s->until(q{SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) OR last_archived_wal IS NOT NULL AND failed_count = 0
	AND (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') = 0 FROM pg_stat_archiver}), 'the log is in the archive');

my $past = PostgreSQL::Test::Cluster->new('past');
$past->init_from_backup($primary, 'b', has_restoring => 1, standby => 0);
$past->append_conf('postgresql.conf', "recovery_target_name = 'middle'\nrecovery_target_action = 'promote'\narchive_mode = off\n");
$past->start;
my $p = session($past);
ok($p->until('SELECT NOT pg_is_in_recovery()', 60), 'a server is recovered to the middle');
is($p->value(q{SELECT string_agg(what, ' ' ORDER BY what) FROM told WHERE what <> 'tick'}), 'before', 'what was handled after it has not been');
is($p->value(q{SELECT string_agg(name, ' ' ORDER BY name) FROM aside.handlers}), 'a held', 'a handler that was taken off later is there');
$p->value(q{SELECT async_event_resume('held')});
ok($p->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'held')}, 60), 'and so is an event that was cancelled later: it is handled');
my $ticks = $p->value(q{SELECT count(*) FROM told WHERE what = 'tick'});
ok($p->until("SELECT count(*) > $ticks FROM told WHERE what = 'tick'", 60), 'a schedule that was dropped later goes on');
cmp_ok($p->value(q{SELECT async_event_emit('a', '"again"')}), '>', $before, 'ids go on');
ok($p->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'again')}, 60), 'a new event is handled');
is($p->value(q{SELECT count(*) FROM told WHERE what = 'before'}), 1, 'what was handled before is not handled again');
$p->quit;
$past->stop;

$primary->wait_for_catchup($delayed, 'flush', $primary->lsn('flush'));
is($delayed->safe_psql('postgres', q{SELECT count(*) FROM told WHERE what <> 'tick'}), 0, 'a delayed standby has not seen it yet');
is($delayed->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%'}), 0, 'and runs nothing');
$s->quit;
$primary->stop('immediate');
$delayed->promote;
my $d = session($delayed);
$d->value(q{SELECT async_event_emit('a', '"promoted"')});
ok($d->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'promoted')}, 60), 'promoted, it handles events');
is($d->value(q{SELECT string_agg(what, ' ' ORDER BY at) FROM told WHERE what <> 'tick'}), 'before after promoted', 'and none twice');
$d->quit;
$delayed->stop;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP:|coordinator of events failed/, $_->name . ': the log complains of nothing') for ($primary, $past, $delayed);
done_testing();
