# Claim: however a parallel query ends, all of its workers end with it; and one
# worker that is lost is the caller's error, which names the chunk.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $query = q{SELECT count(*) FROM parallel_query($$SELECT pg_sleep(600)::text WHERE $1 <= $2 /* %s */$$,
	'items', chunk_rows => 10, workers => 3) AS q(s text)};

# Waits until so many workers run a chunk; the pid of one.
sub at_work
{
	my ($mon, $mark) = @_;
	my $of = "FROM pg_stat_activity WHERE backend_type = 'pg_aside worker' AND wait_event = 'PgSleep' AND query LIKE '%$mark%'";
	ok($mon->until("SELECT (SELECT count(*) $of) = 3"), "$mark: three workers are at it");
	return $mon->value("SELECT max(pid) $of");
}

for my $mode ('preloaded', 'private')
{
	my $node = aside_node($mode, preload => $mode eq 'preloaded', conf => "aside.max_workers = 4
		client_connection_check_interval = '50ms'");
	$node->safe_psql('postgres', 'CREATE TABLE items (id int PRIMARY KEY);
		INSERT INTO items SELECT g FROM generate_series(1, 100) g');
	my $mon = session($node);

	for my $how ('its caller is cancelled', 'its caller is terminated', 'its client vanishes', 'a worker is cancelled', 'a worker is terminated')
	{
		my $mark = join '_', $mode, $how =~ s/\W+/_/gr;
		my $s    = session($node);
		my $pid  = $s->pid;
		$s->send(sprintf $query, $mark);
		my $worker = at_work($mon, $mark);

		if ($how =~ /vanishes/)
		{
			$s->kill_client;
		}
		else
		{
			my $whom = $how =~ /worker/ ? $worker : $pid;
			my $verb = $how =~ /cancelled/ ? 'cancel' : 'terminate';
			$mon->run("SELECT pg_${verb}_backend($whom)");
			my $r = $s->wait;
			ended_well($r, $how =~ /cancelled/ ? '57014' : $how =~ /worker/ ? '08006' : '57P01', "$mode, $how: error");
			like($r->{err}, qr/parallel query, chunk from "\d+" to "\d+"/, "$mode, $how: the chunk is named") if $how =~ /worker/;
		}
		ok(quiet($mon, 10), "$mode, $how: all workers end");
		$s->quit;
	}
	my $s = session($node);
	is($s->value(q{SELECT sum(n) FROM parallel_query('SELECT count(*) FROM items WHERE id BETWEEN $1 AND $2', 'items',
		chunk_rows => 10, workers => 3) AS q(n bigint)}), 100, "$mode: the next one works");
	finish_all($s, $mon);
	$node->stop;
}
done_testing();
