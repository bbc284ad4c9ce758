# Claim: workers never delay a shutdown, busy, stubborn or idle; and a smart
# shutdown, which waits for sessions, lets them make their calls to the end.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my %busy = (
	sleeping => 'SELECT pg_sleep(600) /* %s */',
	trapping => q{DO $do$ BEGIN LOOP BEGIN PERFORM pg_sleep(600) /* %s */;
		EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $do$},
	locked   => 'SELECT 1; LOCK TABLE locked IN ACCESS SHARE MODE /* %s */',
	nested   => 'SELECT autonomous_exec($n$SELECT pg_sleep(600) /* %s */$n$)',
	streaming => 'SELECT pg_sleep(0.02)::text /* %s */ FROM generate_series(1, 1000000)',
);

for my $mode ('preloaded', 'private')
{
	my $node = aside_node($mode, preload => $mode eq 'preloaded', conf => "max_worker_processes = 16\n");
	$node->safe_psql('postgres', 'CREATE TABLE locked ()');
	my $mon  = session($node);
	my $lock = session($node);
	my @s;
	$lock->value('BEGIN; LOCK TABLE locked');
	for my $kind (sort keys %busy)
	{
		push @s, session($node);
		my $sql = sprintf $busy{$kind}, "is $kind";
		$s[-1]->send($kind eq 'streaming'
			? "SELECT count(*) FROM autonomous_query_as(NULL::text, \$c\$$sql\$c\$)"
			: "SELECT autonomous_exec(\$c\$$sql\$c\$)");
		busy_worker($mon, "is $kind");
	}
	# The stubborn one has shrugged off a cancel already.
	$mon->value('SELECT pg_cancel_backend(' . busy_worker($mon, 'is trapping') . ')');
	busy_worker($mon, 'is trapping');
	within(5, sub { $node->stop('fast') }, "$mode: fast shutdown with everything busy");
	finish_all(@s, $lock, $mon);

	$node->start;
	my $s = session($node);
	worker_pid($s);
	$s->quit;
	within(5, sub { $node->stop('fast') }, "$mode: fast shutdown with an idle worker");

	$node->start;
	$s = session($node);
	worker_pid($s);
	$s->quit;
	within(8, sub { $node->stop('smart') }, "$mode: an idle worker does not block a smart shutdown");

	$node->start;
	$s = session($node);
	my $t = session($node);
	$s->send(q{SELECT autonomous_exec($$INSERT INTO t SELECT 'smart' FROM pg_sleep(1)$$)});
	busy_worker($t, 'smart');
	$node->command_ok([ 'pg_ctl', '-D', $node->data_dir, '-m', 'smart', '--no-wait', 'stop' ],
		"$mode: smart shutdown asked for");
	my $r = $s->wait;
	is($r->{out}, 1, "$mode: the call under way ends well") or diag $r->{err};
	$_->send('SELECT autonomous_exec($$SELECT pg_sleep(0.2)$$)') for $s, $t;
	is($_->wait->{out}, 1, "$mode: and sessions still call, in new workers too") for $s, $t;
	finish_all($s, $t);
	within(8, sub { $node->stop('smart') }, "$mode: the last session's end is the server's");
	$node->start;
	is($node->safe_psql('postgres', q{SELECT count(*) FROM t WHERE tag = 'smart'}),
		1, "$mode: the row is there");
	$node->stop;
	my $log = slurp_file($node->logfile);
	unlike($log, qr/PANIC|TRAP:|was terminated by signal|unexpected error|received immediate/,
		"$mode: an uneventful log");
}
done_testing();
