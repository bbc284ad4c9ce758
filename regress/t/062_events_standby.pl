# Claim: a standby handles no event, and says nothing of it; once promoted it
# handles each that was committed there and had not taken effect, once.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $primary = aside_node('primary', streaming => 1, conf => <<'CONF');
max_connections = 30
max_prepared_transactions = 5
aside.event_rotation_size = '256kB'
aside.event_rotation_time = '2s'
CONF
$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE ledger (id bigint);
CREATE TABLE effects (id bigint, attempt int, handler text, standby boolean DEFAULT pg_is_in_recovery());
CREATE FUNCTION handle(e aside.event) RETURNS void LANGUAGE sql AS $$
	INSERT INTO effects VALUES (e.id, e.attempt, 'one'); SELECT pg_sleep(0.02)$$;
CREATE FUNCTION handle(e aside.event[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO effects SELECT u.id, u.attempt, 'many' FROM unnest(e) u$$;
SELECT async_event_on('c', 'handle(aside.event)', concurrency => 2),
	async_event_on('c', 'handle(aside.event[])', name => 'many', batch_size => 20);
CREATE TABLE notes (what text);
SELECT async_event_on('n', command => 'INSERT INTO public.notes VALUES ($1)');
CREATE FUNCTION emit(n int, delay interval DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO ledger SELECT async_event_emit('c', '1', delay => delay) FROM generate_series(1, n)$$;
CREATE VIEW missing AS SELECT * FROM ledger l, (VALUES ('one'), ('many')) h (handler)
	WHERE NOT EXISTS (SELECT FROM effects e WHERE e.id = l.id AND e.handler = h.handler);
SQL
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;

my $p = session($primary);
my $s = session($standby);
my $emitter = session($primary);
$emitter->send('DO $do$ BEGIN LOOP PERFORM emit(5); COMMIT; PERFORM pg_sleep(0.1); END LOOP; END $do$');
$p->value(q{BEGIN; SELECT emit(3); PREPARE TRANSACTION 'open'});
$p->value(q{SELECT emit(3, '6 s')});
ok($s->until('SELECT count(*) > 300 FROM effects'), 'the primary handles events, and the standby sees what became of them');
is($s->value(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%'}), 0, 'on a standby there is no launcher, no coordinator, no handler');
is($s->value('SELECT count(*) FROM aside.coordinators'), 0, 'as its view says');
ended_well($s->run(q{SELECT async_event_emit('c')}), '25006', 'nothing is emitted there');
ended_well($s->run(q{SELECT async_event_on('d', command => 'SELECT 1')}), '25006', 'and no handler is made');
ok($s->until(q{SELECT EXISTS (SELECT FROM aside.events WHERE state = 'done')}), 'what became of events can be read');
cmp_ok($s->value('SELECT count(*) FROM aside.handlers'), '==', 3, 'and their handlers');

# The primary dies in the middle of it. What the standby has not received has not happened.
my $offset = -s $standby->logfile;
$primary->stop('immediate');
finish_all($emitter, $p);
my $known = $s->value('SELECT count(*) FROM ledger');
my $done = $s->value('SELECT count(*) FROM effects');
usleep(500_000);
is($s->value('SELECT count(*) FROM effects'), $done, 'a standby without a primary handles nothing either');
my $highest = $s->value('SELECT max(id) FROM ledger');
$standby->promote;
my $promoted = time;
# One is not enough: nobody hears those that are sent before the coordinator listens.
my $noted;
until ($noted || time > $promoted + 10)
{
	$s->value(q{SELECT pg_notify('n', 'promoted')});
	$noted = $s->until('SELECT EXISTS (SELECT FROM notes)', 0.2);
}
ok($noted, 'promoted, it runs handlers of notifications');
ok($s->until('SELECT NOT EXISTS (SELECT FROM missing)', $promoted + 10 - time), 'and handles what was left, within 10 s')
  or diag($s->value('SELECT handler, count(*), min(id), max(id) FROM missing GROUP BY 1'));
is($s->value(q{SELECT DISTINCT what FROM notes}), 'promoted', 'no notification is repeated from before');
cmp_ok($s->value('SELECT count(*) FROM ledger'), '>=', $known, 'all that it had received');
my $id = $s->value(q{SELECT emit(1); SELECT max(id) FROM ledger});
cmp_ok($id =~ s/\s//gr, '>', $highest, 'ids go on');
$s->value(q{COMMIT PREPARED 'open'});
ok($s->until('SELECT NOT EXISTS (SELECT FROM missing)', 10), 'what had been prepared on the primary is handled when it is committed here');
is($s->value('SELECT count(*) FROM (SELECT FROM effects GROUP BY id, handler HAVING count(*) > 1) x'), 0, 'each event took effect once');
is($s->value('SELECT count(*) FROM effects WHERE id NOT IN (SELECT id FROM ledger)'), 0, 'and none that was not committed');
cmp_ok($s->value('SELECT max(attempt) FROM effects'), '<=', 2, 'the change of servers is one attempt at most');
is($s->value('SELECT count(*) FROM aside.dead_events'), 0, 'nothing is given up');
is($s->value(q{SELECT string_agg(backend_type, ', ' ORDER BY backend_type) FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%' AND backend_type <> 'pg_aside worker'}),
	'pg_aside coordinator, pg_aside launcher', 'one launcher, one coordinator');
$s->quit;
$standby->stop;
unlike(slurp_file($standby->logfile), qr/PANIC|TRAP:|pg_aside.*(ERROR|FATAL).*recovery|coordinator of events failed/, 'the log complains of nothing');
done_testing();
