# Claim: a handler that is altered faster than it begins still begins, whatever is altered, and no change of a busy handler makes it
# pause for long.
# ASIDE_TEST_SECONDS: how long each kind of change goes on; 2 unless told. ASIDE_TEST_PAUSE_MS: the longest pause; 2000 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $seconds = $ENV{ASIDE_TEST_SECONDS} || 2;
my $longest = $ENV{ASIDE_TEST_PAUSE_MS} || 2000;
my $node = aside_node('altered', conf => "synchronous_commit = off\nautovacuum = off\n");
my $mon = session($node);
$mon->value(<<'SQL');
CREATE TABLE done (id bigint, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION one(e aside.event) RETURNS void LANGUAGE sql AS $$INSERT INTO public.done VALUES (e.id); SELECT pg_sleep(0.001)$$;
CREATE FUNCTION several(e aside.event[]) RETURNS void LANGUAGE sql AS
	$$INSERT INTO public.done SELECT u.id FROM unnest(e) u; SELECT pg_sleep(0.001)$$;
SELECT async_event_on('c', 'one(aside.event)', name => 'h', concurrency => 2, batch_size => 3);
SQL
# Each loop alters in a transaction of its own, without a pause; a handler takes longer to begin than that takes.
my %change = (
	'what does not matter to a run' => q{PERFORM async_event_alter('h', max_attempts => 2 + i % 2, concurrency => 2 + i % 2)},
	'its function' => q{PERFORM async_event_alter('h', handler => (ARRAY['one(aside.event)', 'several(aside.event[])'])[1 + i % 2]::regprocedure)},
	'its timeout and batch size' => q{PERFORM async_event_alter('h', timeout => make_interval(mins => 1 + i % 2), batch_size => 2 + i % 2)},
);
my $emitted = 0;
for my $what (sort keys %change)
{
	my ($emitter, $alterer) = (session($node), session($node));
	$mon->value('TRUNCATE done');
	$emitter->send(qq{DO \$\$ DECLARE until timestamptz := clock_timestamp() + interval '$seconds s'; BEGIN
		WHILE clock_timestamp() < until LOOP PERFORM async_event_emit('c'); COMMIT; PERFORM pg_sleep(0.002); END LOOP; END \$\$});
	ok($mon->until('SELECT EXISTS (SELECT FROM done)'), "$what: events are handled before");
	$alterer->send(qq{DO \$\$ DECLARE until timestamptz := clock_timestamp() + interval '$seconds s'; i int := 0; BEGIN
		WHILE clock_timestamp() < until LOOP $change{$what}; COMMIT; i := i + 1; END LOOP;
		RAISE NOTICE 'altered % times', i; END \$\$});
	ok($_->wait(60 + $seconds)->{ok}, "$what: it is altered all the time") for $alterer, $emitter;
	ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM aside.events WHERE state NOT IN ('done'))}, 60), "$what: every event is handled");
	is($mon->value('SELECT count(*) - count(DISTINCT id) FROM done'), 0, "$what: once");
	my ($pause, $count) = split /\|/, $mon->value(q{SELECT round(1000 * max(extract(epoch FROM gap))) || '|' || count(*)
		FROM (SELECT at - lag(at) OVER (ORDER BY at) AS gap FROM done) g});
	diag("$what: $count events, the longest pause $pause ms");
	cmp_ok($pause, '<', $longest, "$what: it does not pause for long");
	finish_all($emitter, $alterer);
}
is($mon->value('SELECT count(*) FROM aside.dead_events'), 0, 'and none is dead');
finish_all($mon);
$node->stop;
done_testing();
