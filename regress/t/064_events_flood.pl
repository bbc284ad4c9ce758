# Claim: however many notifications come at once, none of them is lost, the
# coordinator's memory stays small, and it listens even while it pauses after errors.
# ASIDE_TEST_NOTIFICATIONS: how many in one transaction; 100000 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $many = $ENV{ASIDE_TEST_NOTIFICATIONS} || 100_000;
my $node = aside_node('flood', conf => <<"CONF");
synchronous_commit = off
fsync = off
autovacuum = off
max_wal_size = 4GB
shared_buffers = 16MB
CONF
my $mon = session($node);
$mon->value(<<'SQL');
CREATE TABLE got (at bigserial, what text);
CREATE TABLE sizes (at bigserial, what text, bytes int);
SELECT async_event_on('durable', command => 'INSERT INTO got (what) VALUES ($1)', durable => true, batch_size => 1000),
	async_event_on('plain', command => 'INSERT INTO got (what) VALUES ($1)'),
	async_event_on('wide', command => 'INSERT INTO sizes (what, bytes) VALUES (left($1, 6), length($1))', durable => true, batch_size => 1000);
SQL

sub coordinator
{
	return $mon->value(q{SELECT pid FROM aside.coordinators WHERE database = 'postgres' AND state = 'running'});
}

sub hears
{
	my ($channel, $table) = @_;
	return $mon->until(qq{SELECT pg_notify('$channel', 'hear')::text <> 'x' AND EXISTS (SELECT FROM $table WHERE what = 'hear')}, 20)
	  && $mon->value("SELECT pg_notify('$channel', 'last') IS NOT NULL") && $mon->until("SELECT EXISTS (SELECT FROM $table WHERE what = 'last')");
}

# All of one transaction; seconds until the last one is handled.
sub flood
{
	my ($channel, $table, $width, $timeout, $of) = @_;
	my $number = $of // $many;
	hears($channel, $table) or diag("nobody hears $channel");
	$mon->value("TRUNCATE $table");
	my $begin = time;
	$mon->value("SELECT count(pg_notify('$channel', rpad(to_char(i, 'FM000000'), $width, ' x'))) FROM generate_series(1, $number) i", 60);
	my $sent = time - $begin;
	$mon->until("SELECT count(*) = $number FROM $table", $timeout);
	diag(sprintf '%s: sent after %.1f s, handled after %.1f s', $channel, $sent, time - $begin);
	return is($mon->value("SELECT count(*) || ' ' || count(DISTINCT what) FROM $table"), "$number $number", "$channel: each is handled once");
}

flood('durable', 'got', 500, 60);
flood('plain', 'got', 6, 60);
is($mon->value('SELECT count(*) FROM (SELECT what < lag(what) OVER (ORDER BY at) AS wrong FROM got) x WHERE wrong'), 0, 'plain: in their order');

# Those that fail: a line of the log now and then.
$mon->value(q{CREATE SEQUENCE tries; SELECT async_event_on('fails', command => $$SELECT nextval('tries') / 0$$, name => 'the one that fails')});
ok($mon->until(q{SELECT count(pg_notify('fails', 'listens')) > 0 AND (SELECT is_called FROM tries)}, 20), 'a handler that fails is called');
$mon->value(q{SELECT setval('tries', 1, false) IS NOT NULL AND count(pg_notify('fails', i::text)) > 0 FROM generate_series(1, 10000) i});
$mon->until('SELECT last_value >= 10000 FROM tries', 30) or diag($mon->value('SELECT last_value FROM tries'));
ok($mon->until(q{SELECT notifications_failed >= 10000 AND (failures ->> '22012')::bigint = notifications_failed FROM aside.event_stats WHERE channel = 'fails'}), 'each is counted')
  or diag($mon->value(q{SELECT to_jsonb(s) FROM aside.event_stats s WHERE channel = 'fails'}));
my @lines = slurp_file($node->logfile) =~ /^.*LOG:  event handler .*division by zero.*$/mg;
cmp_ok(scalar(@lines), '<', 20, 'the coordinator writes no line for each failure');
like($lines[0] // '', qr/event handler "the one that fails" failed for .*division by zero/, 'and it names the handler');

my $pid = coordinator();
flood('wide', 'sizes', 7900, 120);
is($mon->value('SELECT count(*) FROM sizes WHERE bytes <> 7900'), 0, 'wide: as they were sent');
my ($peak) = slurp_file("/proc/$pid/status") =~ /VmHWM:\s+(\d+) kB/;
diag("the coordinator had $peak kB at most");
cmp_ok($peak, '<', 200 * 1024, "the coordinator's memory stays small");
is(coordinator(), $pid, 'and it is the same one');
# Where no temporary file can be written, memory does for some.
my $temporary = $node->data_dir . '/base/pgsql_tmp';
mkdir $temporary;
chmod 0, $temporary;
flood('wide', 'sizes', 7900, 30, 3000);
chmod 0700, $temporary;
is(coordinator(), $pid, 'it lives on where there can be no temporary file');

is($mon->value('SELECT sum(notifications_dropped) FROM aside.event_stats'), 0, 'none was dropped');

# Keys that are long: the coordinator needs to know only which are the same.
$mon->value(q{CREATE TABLE keyed (at bigserial, what text);
	SELECT async_event_on('keyed', command => 'INSERT INTO keyed (what) VALUES ($1)', name => 'keyed', ordered => true, concurrency => 2)});
$mon->value(q{SELECT count(async_event_emit('keyed', to_jsonb(i), key => i % 3 || repeat('k', 10000000))) FROM generate_series(1, 30) i}, 60);
ok($mon->until('SELECT count(*) = 30 FROM keyed', 60), 'events with long keys are handled');
is($mon->value(q{SELECT count(*) FROM (SELECT what::int < lag(what::int) OVER (PARTITION BY what::int % 3 ORDER BY at) AS wrong FROM keyed) x WHERE wrong}), 0,
	'each key in its order');
my ($keyed) = slurp_file("/proc/$pid/status") =~ /VmHWM:\s+(\d+) kB/;
cmp_ok($keyed, '<', 200 * 1024, "and the coordinator's memory stays small");
$mon->value(q{SELECT async_event_off('keyed')});
is($mon->run(q{SELECT async_event_on(repeat('x', 2001), command => 'SELECT 1', name => 'long')})->{sqlstate}, '54000', 'no channel that is handled is that long');

# Events of one large transaction: what they take in the coordinator is given back when they have ended.
sub anonymous
{
	open my $f, '<', "/proc/$pid/status" or return 0;
	my ($kb) = map { /^RssAnon:\s+(\d+) kB/ } <$f>;
	return $kb / 1024;
}
$mon->value(q{CREATE TABLE done (id bigint); SELECT async_event_on('many', command => 'INSERT INTO done VALUES (1)', batch_size => 1000, concurrency => 4)});
my ($small, $most, $emitted) = (anonymous(), 0, 2 * $many);
$mon->value("SELECT count(async_event_emit('many', to_jsonb(i))) FROM generate_series(1, $emitted) i", 60);
for (1 .. 1200)
{
	$most = anonymous() if anonymous() > $most;
	last if $mon->value('SELECT count(*) FROM done') == $emitted;
	usleep(50_000);
}
is($mon->value('SELECT count(*) FROM done'), $emitted, 'events of a large transaction are handled');
sub given_back { for (1 .. 100) { return 1 if anonymous() < $small + 10; usleep(100_000) } return 0; }
ok(given_back(), 'and the coordinator gives their memory back');
diag(sprintf 'the coordinator had %.1f MB, then %.1f MB, and then %.1f MB', $small, $most, anonymous());

# A table that is missing: an error in each turn, and pauses of 0.1, 0.2, ... 6.4 s.
$mon->value('ALTER TABLE aside.event_2 RENAME TO event_gone');
my $one = q{SELECT count(pg_notify('plain', rpad(i::text, 7900, ' x'))) FROM generate_series(1, 1000) i};
usleep(9e6);
$mon->value($one);
my $usage = $mon->value('SELECT pg_notification_queue_usage()');
ok($mon->until("SELECT count(pg_notify('plain', rpad(i::text, 7900, ' x'))) > 0 AND pg_notification_queue_usage() < $usage / 2 FROM generate_series(1, 20) i", 3),
	'the queue of the server is emptied while the coordinator pauses after an error');
$mon->value('ALTER TABLE aside.event_gone RENAME TO event_2');

$mon->quit;
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|FATAL:  out|TRAP:|coordinator of events failed: (?!relation|the tables)/, 'the log complains of nothing');

# Somebody has the tables locked: the server's queue is drained all the same.
$node = aside_node('locked');
$mon = session($node);
$mon->value(q{CREATE TABLE got (n int); SELECT async_event_on('n', command => 'INSERT INTO got VALUES ($1::int)')});
$mon->until(q{SELECT EXISTS (SELECT FROM aside.coordinators WHERE state = 'running')});
$mon->until(q{SELECT EXISTS (SELECT FROM got) FROM pg_notify('n', '0')});
my $locker = session($node);
$locker->value('BEGIN; LOCK TABLE aside.event_handler IN ACCESS EXCLUSIVE MODE');
ok($mon->until(q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND wait_event_type = 'Lock')}),
	'a coordinator waits for a lock');
$mon->value(q{SELECT count(pg_notify('n', repeat('0', 7000) || i)) FROM generate_series(1, 2000) i});
ok($mon->until('SELECT pg_notification_queue_usage() < 0.0005', 15), 'and drains the queue meanwhile')
  or diag($mon->value('SELECT pg_notification_queue_usage()'));
$locker->value('ROLLBACK');
ok($mon->until('SELECT count(*) = 2000 FROM got WHERE n > 0', 25), 'what it heard is handled later');
finish_all($locker, $mon);
$node->stop;
done_testing();
