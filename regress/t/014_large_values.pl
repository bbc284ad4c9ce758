# Claim: values of any size pass both ways, rows of any number stream, and
# neither leaves its weight behind in the worker.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $MB = 1024 * 1024;

# A process's present or greatest memory of its own (without shared buffers), in MB.
sub memory
{
	my ($pid, $field) = @_;
	open my $f, '<', "/proc/$pid/status" or return;
	my ($kb) = map { /^$field:\s+(\d+) kB/ } <$f>;
	return $kb / 1024;
}

my $node = aside_node('large', conf => "aside.max_workers = 1\nshared_buffers = 8MB\n");
my $s = session($node);
my $worker = worker_pid($s);
my $base = memory($worker, 'VmRSS');

SKIP:
{
	skip 'needs /proc', 1 unless defined $base;
	is( $s->value(q{SELECT count(*) || ' ' || sum(length(v)) FROM autonomous_query(
		$$SELECT repeat('x', 1000) FROM generate_series(1, 200000)$$) AS q(v text)}),
		'200000 200000000', '200 MB of rows');
	cmp_ok(memory($worker, 'VmHWM') - $base, '<', 40, 'stream through bounded memory of the worker');
}

my $big = 100 * $MB;
is( $s->value(qq{SELECT n || ' ' || m FROM autonomous_query('SELECT length(\$1), md5(\$1)',
	repeat('a', $big)) AS q(n int, m text)}),
	$s->value(qq{SELECT $big || ' ' || md5(repeat('a', $big))}),
	'an argument of 100 MB arrives whole');
is( $s->value(qq{SELECT length(v) || ' ' || md5(v) FROM autonomous_query(
	'SELECT repeat(\$1, \$2)', 'b'::text, $big) AS q(v text)}),
	$s->value(qq{SELECT $big || ' ' || md5(repeat('b', $big))}),
	'a result row of 100 MB arrives whole');
is( $s->value(qq{SELECT length(v) FROM autonomous_query_as(NULL::text, 'SELECT \$1', repeat('c', $big)) v}),
	$big, 'both at once');
is( $s->value(qq{SELECT autonomous_exec('INSERT INTO t VALUES (\$1)', repeat('d', $big))}),
	1, 'an argument of 100 MB is stored');
is($s->value('SELECT length(tag) FROM t'), $big, 'whole');
my $r = $s->run(qq{SELECT autonomous_exec('SELECT 1 -- ' || repeat('e', $big))});
is($r->{out}, 1, 'a command of 100 MB runs');
# psql shows only a part worth reading: length is judged in the caller.
is( $s->value(qq{CREATE FUNCTION pg_temp.l() RETURNS int LANGUAGE plpgsql AS \$\$ BEGIN
	PERFORM autonomous_exec('DO \$d\$BEGIN RAISE EXCEPTION USING MESSAGE = repeat(''f'', 10000000); END\$d\$');
	EXCEPTION WHEN raise_exception THEN RETURN length(sqlerrm); END \$\$; SELECT pg_temp.l()}),
	10_000_000, 'an error message of 10 MB arrives whole');

is(worker_pid($s), $worker, 'all of it through one worker');
SKIP:
{
	skip 'needs /proc', 1 unless defined $base;
	$s->value('SELECT autonomous_exec($$SELECT 1$$)');
	cmp_ok(memory($worker, 'VmRSS') - $base, '<', 60, 'which gave the memory back');
}

# Abandoned in the middle of a value.
my $mon = session($node);
$s->send(qq{SELECT autonomous_query_as(NULL::text, 'SELECT repeat(''g'', $big) FROM generate_series(1, 100)')
	LIMIT 50 OFFSET 49});
$mon->until(q{SELECT EXISTS (SELECT FROM pg_stat_activity
	WHERE backend_type = 'pg_aside worker' AND xact_start IS NOT NULL)});
$mon->run("SELECT pg_cancel_backend(@{[$s->pid]})");
ended_well($s->wait, '57014', 'a cancel in the middle of large rows');
is($s->run('SELECT autonomous_exec($$SELECT 1$$)')->{out}, 1, 'and the next call is served');
finish_all($s, $mon);
$node->stop;
done_testing();
