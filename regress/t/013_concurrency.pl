# Claim: eight clients on three workers, with errors, timeouts, cancels and lost
# workers: the rows are exactly those whose commit was told, and the pool is whole.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use IPC::Run;
use Test::More;
use Time::HiRes qw(time usleep);

use constant { CLIENTS => 8, CALLS => 400, WORKERS => 3 };

my $node = aside_node('crowd', conf => "aside.max_workers = @{[WORKERS]}\n"
	  # Nested calls can starve each other of workers; let them not do it for long.
	  . "aside.checkout_timeout = '500ms'\n");
$node->safe_psql('postgres', 'CREATE TABLE done (client int, n int)');
my $mon = session($node);
seed();

# psql says on stderr which call begins, then its error if any. A call that has returned is told by a lock of its
# session: that outlives an error of the statement around it, which a cancel may still hit.
sub script
{
	my ($client) = @_;
	my $sql = '';
	for my $n (1 .. CALLS)
	{
		my $dice = rand;
		my $body =
		    $dice < 0.60 ? 'INSERT INTO done VALUES ($1, $2)'
		  : $dice < 0.70 ? 'INSERT INTO done VALUES ($1, $2); SELECT 1 / ($1 - $1)'
		  : $dice < 0.80 ? 'INSERT INTO done SELECT $1, $2 FROM pg_sleep(0.002)'
		  : $dice < 0.90 ? 'INSERT INTO done VALUES ($1, $2); SELECT autonomous_exec($q$SELECT 1$q$)'
		  :                'INSERT INTO done VALUES ($1, $2); SELECT pg_sleep(0.001)';
		my $timeout = rand() < 0.2 ? 1 + int rand 5 : 0;
		$sql .= "SET statement_timeout = $timeout;\n"
		  . "\\warn =$client $n=\n"
		  . "SELECT autonomous_exec(\$c\$$body\$c\$, $client, $n), pg_advisory_lock_shared($client, $n);\n";
	}
	return "$sql\\echo =end=\n";
}

my @run;
for my $client (1 .. CLIENTS)
{
	my %c = (in => script($client), out => '', err => '');
	$c{run} = IPC::Run::start(
		[
			$node->installed_command('psql'), '-XAtq',
			'-v' => 'VERBOSITY=verbose',
			'-d' => $node->connstr('postgres'),
			'-f' => '-'
		],
		'<' => \$c{in}, '>' => \$c{out}, '2>' => \$c{err});
	push @run, \%c;
}

# Meanwhile somebody cancels callers and workers, and now and then ends a worker.
my $deadline = time + 60;
my $shots = 0;
my $working = sub { return grep { $_->{out} !~ /=end=/ && $_->{run}->pumpable } @run; };
while ((my @alive = $working->()) && time < $deadline)
{
	$_->{run}->pump_nb for @alive;
	my $dice = rand;
	my $what = $dice < 0.9 ? 'pg_cancel_backend' : 'pg_terminate_backend';
	my $whom = $dice < 0.5 ? q{backend_type = 'client backend' AND pid <> pg_backend_pid()
			AND query LIKE '%autonomous_exec%'}
	  : q{backend_type = 'pg_aside worker'};
	$mon->value("SELECT count($what(pid)) FROM (SELECT pid FROM pg_stat_activity
		WHERE $whom ORDER BY random() LIMIT 1) x");
	$shots++;
	# One look at the clients between shots: finer pumping would only heat the machine.
	usleep(3000);
}
is(scalar($working->()), 0, 'every client comes to its end');
my %told = map { $_ => 1 } split /\n/, $mon->value(
	q{SELECT classid || ' ' || objid FROM pg_locks WHERE locktype = 'advisory'});
my %tally = (returned => scalar keys %told);
for my $c (@run)
{
	$working->() ? $c->{run}->kill_kill : eval { $c->{run}->finish };
	for my $case (split /^(?==\d+ \d+=$)/m, $c->{err})
	{
		next unless $case =~ /^=(\d+ \d+)=\n.*?ERROR:  (\w{5}):(.*)/s;
		my ($id, $state, $rest) = ($1, $2, $3);
		$tally{$state}++;
		# An error of a nested call speaks of that call's transaction; the one around it has aborted.
		my $levels = () = $rest =~ /^(?:CONTEXT:  )?autonomous transaction$/mg;
		my $own = $levels == ($state eq '08006' ? 1 : 0);
		# What is said of one at another depth is said of that one.
		$told{$id} = 1 if $own && $rest =~ /^(?:DETAIL:  )?The autonomous transaction(?: \d+)? (?:had already )?committed/m;
		$tally{"unknown outcome"}++ if $rest =~ /^DETAIL:.*\bunknown/m;
	}
}
note "$shots shots; ", join ', ', map { "$_: $tally{$_}" } sort keys %tally;
cmp_ok($tally{returned}, '>', CLIENTS * CALLS / 4, 'most calls got through');
my @strange = grep { /^(?!22012|57014|08006|53400|08003)[0-9A-Z]{5}$/ } keys %tally;
is("@strange", '', 'no error but those that were provoked');

ok(quiet($mon, 15), 'no worker is stuck');
my %found = map { $_ => 1 } split /\n/, $mon->value('SELECT client || $$ $$ || n FROM done');
is(join(', ', grep { !$told{$_} } sort keys %found), '', 'no row but those told');
is(join(', ', grep { !$found{$_} } sort keys %told), '', 'no row told but missing');
is($mon->value('SELECT count(*) FROM done'), scalar keys %found, 'none twice');

# The pool is whole: as many calls at once as it has slots, and it knows them idle afterwards.
my @s = map { session($node) } 1 .. WORKERS;
$_->send(q{SELECT autonomous_exec('SELECT pg_sleep(600) /* whole */')}) for @s;
ok($mon->until(sprintf q{SELECT count(*) = %d FROM pg_stat_activity WHERE query LIKE '%%whole%%'
	AND backend_type = 'pg_aside worker' AND wait_event = 'PgSleep'}, WORKERS),
	'every slot can be used at once');
for my $s (@s)
{
	$mon->run("SELECT pg_cancel_backend(@{[$s->pid]})");
	$s->wait;
}
is($mon->value('SELECT count(*) FROM aside.workers WHERE caller_pid IS NOT NULL AND caller_pid <> 0'),
	0, 'no slot is held by anybody in the end');
ok($mon->value('SELECT sum(calls) FROM aside.stat') >= $tally{returned}, 'aside.stat counted them');
finish_all(@s, $mon);
$node->stop;
done_testing();
