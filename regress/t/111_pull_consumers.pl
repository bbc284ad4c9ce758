# Claim: the consumers in examples/ handle each event once, several of them side by side; one that gives an event back sees it again
# until it is dead. Where psycopg is missing, the one in Python is left out.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $examples = "$FindBin::RealBin/../../examples";
my $node = aside_node('consumers', conf => "max_worker_processes = 20\n");
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';
my $s = session($node);
$s->value($_) for (
	q{SELECT async_event_on('orders', pull => true, max_attempts => 2, backoff => '1 ms')},
	q{CREATE TABLE shipped (id bigint, customer text)});
my ($python) = grep { -x && system("$_ -c 'import psycopg' 2>/dev/null || $_ -c 'import psycopg2' 2>/dev/null") == 0 }
	grep { defined } $ENV{PYTHON}, '/usr/bin/python3', map { "$_/python3" } split(/:/, $ENV{PATH});

# Three of them, side by side.
sub consume
{
	my (@command) = @_;
	my @runs = map { my ($out, $err) = ('', ''); [ IPC::Run::start([@command], '<' => \undef, '>' => \$out, '2>' => \$err), \$err ] } 1 .. 3;
	for my $run (@runs)
	{
		ok($run->[0]->finish, "$command[-3]: ends when there is nothing") or diag(${ $run->[1] });
	}
	return;
}

for my $name ('sh', 'py')
{
SKIP: {
		my @run = $name eq 'sh' ? ('bash', "$examples/pull_consumer.sh") : ($python, "$examples/pull_consumer.py");
		skip 'neither psycopg nor psycopg2 is installed', 1 unless defined $run[0];
		$s->value('TRUNCATE shipped');
		$s->value(q{SELECT count(async_event_emit('orders', jsonb_build_object('customer', 'c' || i))) FROM generate_series(1, 200) i});
		consume(@run, 'orders', '1');
		is($s->value('SELECT count(*) || \' \' || count(DISTINCT customer) FROM shipped'), '200 200', "$name: each order is shipped once");
	}
}
if (defined $python)
{
	$s->value(q{SELECT async_event_emit('orders', '{}')});
	consume($python, "$examples/pull_consumer.py", 'orders', '1');
	ok($s->until(q{SELECT count(*) = 1 FROM aside.dead_events}, 20), 'what it cannot handle is dead');
	is($s->value('SELECT attempts || \' \' || message FROM aside.dead_events'), '2 there is no customer', 'with its error');
}
finish_all($s);
$node->stop;
done_testing();
