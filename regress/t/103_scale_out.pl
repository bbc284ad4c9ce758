# Claim: handlers, tasks and calls reach other servers by postgres_fdw and PL/Proxy, where these are installed: an event of one
# server is handled by another one, and each server's events are its own.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $hub = aside_node('hub', conf => "max_worker_processes = 20\n");
my $dir = $hub->config_data('--sharedir') . '/extension';
my @shards = map { aside_node("shard$_", conf => "max_worker_processes = 20\n") } 0, 1;
for my $shard (@shards)
{
	$shard->safe_psql('postgres', q{
		CREATE TABLE archive (id bigint PRIMARY KEY, payload jsonb);
		CREATE TABLE told (key text);
		CREATE FUNCTION handle(e aside.event) RETURNS void LANGUAGE sql AS 'INSERT INTO told VALUES (e.key)';
		SELECT async_event_on('order', 'handle(aside.event)');
		CREATE FUNCTION emit(key text, payload jsonb) RETURNS bigint LANGUAGE sql AS $$ SELECT async_event_emit('order', payload, key => key) $$;});
}
my $s = session($hub);

SKIP:
{
	skip 'postgres_fdw is not installed', 3 unless -f "$dir/postgres_fdw.control";
	my ($host, $port) = ($shards[0]->host, $shards[0]->port);
	$s->value($_) for ('CREATE EXTENSION postgres_fdw',
		"CREATE SERVER shard FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres')",
		'CREATE USER MAPPING FOR CURRENT_USER SERVER shard',
		q{CREATE FOREIGN TABLE archive (id bigint, payload jsonb) SERVER shard},
		q{CREATE FUNCTION to_archive(e aside.event) RETURNS void LANGUAGE sql AS $$ INSERT INTO archive VALUES (e.id, e.payload) $$},
		q{SELECT async_event_on('order', 'to_archive(aside.event)')},
		q{SELECT async_event_emit('order', jsonb_build_object('n', g)) FROM generate_series(1, 20) g});
	ok($s->until('SELECT count(*) = 20 FROM archive', 60), 'a handler writes to another server');
	is($s->value(q{SELECT n FROM async_result(async_exec('SELECT count(*) FROM archive')) AS r(n bigint)}), 20, 'a task reads from there');
	$s->value(q{BEGIN; SELECT autonomous_exec('INSERT INTO archive VALUES (0, $1)', '{}'::jsonb); ROLLBACK});
	is($shards[0]->safe_psql('postgres', 'SELECT count(*) FROM archive'), 21, 'and a call commits there, whatever its caller does');
}

SKIP:
{
	skip 'PL/Proxy is not installed', 3 unless -f "$dir/plproxy.control";
	my @urls = map { sprintf q{p%d 'host=%s port=%d dbname=postgres'}, $_, $shards[$_]->host, $shards[$_]->port } 0, 1;
	$s->value($_) for ('CREATE EXTENSION plproxy',
		"CREATE SERVER shards FOREIGN DATA WRAPPER plproxy OPTIONS ($urls[0], $urls[1])",
		'CREATE USER MAPPING FOR CURRENT_USER SERVER shards',
		q{CREATE FUNCTION emit(key text, payload jsonb) RETURNS bigint LANGUAGE plproxy AS $$ CLUSTER 'shards'; RUN ON hashtext(key); $$},
		q{SELECT emit('key ' || g, '{}') FROM generate_series(1, 40) g});
	my $told = 0;
	my @told;
	for my $shard (@shards)
	{
		my $t = session($shard);
		ok($t->until(q{SELECT count(*) > 0 AND NOT EXISTS (SELECT FROM aside.events WHERE state <> 'done') FROM told}, 60), $shard->name . ' handles the events of its keys');
		push @told, $t->value('SELECT count(*) FROM told');
		$t->quit;
	}
	is($told[0] + $told[1], 40, 'each event is handled by one of them');
}
$s->quit;
$_->stop for $hub, @shards;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP:/, $_->name . ': the log complains of nothing') for $hub, @shards;
done_testing();
