# Claim: a cancel that races with a COMMIT loses or wins as a whole. After every
# error the row exists if and only if the error's DETAIL says committed, at once
# and for ever.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;
use Time::HiRes qw(usleep);

use constant ROUNDS => 150;

my $node = aside_node('gate', conf => q{
	aside.max_workers = 2
	client_connection_check_interval = '20ms'});
# The row's work takes ms milliseconds when it is inserted and again before its commit.
$node->safe_psql('postgres', q{
	CREATE TABLE gate (kind text, n int, before float8, late float8);
	CREATE FUNCTION before() RETURNS trigger LANGUAGE plpgsql
		AS $$BEGIN PERFORM pg_sleep(NEW.before / 1000); RETURN NEW; END$$;
	CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql
		AS $$BEGIN PERFORM pg_sleep(NEW.late / 1000); RETURN NULL; END$$;
	CREATE TRIGGER before BEFORE INSERT ON gate FOR EACH ROW EXECUTE FUNCTION before();
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON gate DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION late();
});
my $mon = session($node);
seed();

# A cancel may also come when the call has returned and its statement has not. To tell these apart the statement
# then takes a session's advisory lock, which needs no interrupt check and survives the statement's failure.
my %told;     # what the callers were told, by kind and number
my %tally;

# Returns nothing when the row is as told, else what is wrong.
sub judge
{
	my ($kind, $n, $s, $r, $allowed) = @_;
	my $row = $mon->value("SELECT count(*) FROM gate WHERE kind = '$kind' AND n = $n");
	my $returned = $mon->value("SELECT count(*) FROM pg_locks
		WHERE locktype = 'advisory' AND pid = @{[$s->pid]} AND objid = $n");
	my $what = $r->{ok} ? 'success' : $returned ? 'returned' : $r->{detail} =~ /\bcommitted/ ? 'committed' : 'aborted';
	$told{"$kind $n"} = $what eq 'aborted' ? 0 : 1;
	$tally{"$kind: $what"}++;
	return if $row == $told{"$kind $n"} && ($r->{ok} || $r->{sqlstate} =~ /^(?:$allowed)$/);
	diag("$kind $n: told $what, rows $row\n$r->{err}");
	return 1;
}

my $insert = sub {
	my ($kind, $n) = @_;
	return sprintf q{SELECT pg_advisory_unlock_all(); SELECT autonomous_exec(
		'INSERT INTO gate VALUES ($1, $2, $3, $4)', '%1$s', %2$d, %3$f::float8, %4$f::float8),
		pg_advisory_lock_shared(%2$d)}, $kind, $n, rand(3), rand(3);
};

# ---- statement_timeout

my $s = session($node);
worker_pid($s);

# A timeout that is set while a short one is in force may itself be cut off.
sub set_timeout
{
	my ($ms) = @_;
	1 until $s->run(sprintf 'SET statement_timeout = %d', $ms)->{ok};
	return;
}

my $wrong = 0;
for my $n (1 .. ROUNDS)
{
	set_timeout(1 + rand(9));
	my $r = $s->run($insert->('timeout', $n));
	$wrong += judge('timeout', $n, $s, $r, '57014') // 0;
}
is($wrong, 0, 'statement_timeout around the commit: every outcome told is true');
set_timeout(0);

# ---- cancels from outside, of the caller and of the worker

for my $kind ('caller', 'worker')
{
	$wrong = 0;
	for my $n (1 .. ROUNDS)
	{
		my $victim = $kind eq 'caller' ? $s->pid : worker_pid($s);
		$s->send($insert->($kind, $n));
		usleep(rand(8000));
		$mon->value("SELECT pg_cancel_backend($victim)");
		$wrong += judge($kind, $n, $s, $s->wait, '57014') // 0;
	}
	is($wrong, 0, "pg_cancel_backend of the $kind around the commit: every outcome told is true");
}

# ---- termination of the worker: by its xid

$wrong = 0;
for my $n (1 .. ROUNDS / 3)
{
	my $victim = worker_pid($s);
	$s->send($insert->('terminate', $n));
	usleep(rand(8000));
	$mon->value("SELECT pg_terminate_backend($victim)");
	my $r = $s->wait;
	$wrong++ if $r->{err} =~ /unknown/;
	$wrong += judge('terminate', $n, $s, $r, '08006') // 0;
}
is($wrong, 0, 'pg_terminate_backend of the worker around the commit: every outcome told is true');

# ---- the caller goes: told nothing, so at least nothing changes later

my %left;
for my $n (1 .. ROUNDS / 5)
{
	my $c = session($node);
	my $pid = $c->pid;
	$c->send($insert->('gone', $n));
	usleep(rand(8000));
	$mon->value("SELECT pg_terminate_backend($pid)");
	$c->wait;
	$c->quit;
	quiet($mon, 5);
	$left{$n} = $mon->value("SELECT count(*) FROM gate WHERE kind = 'gone' AND n = $n");
}

# ---- for ever

ok(quiet($mon), 'all workers have come to rest');
my %found = map { $_ => 1 } split /\n/, $mon->value('SELECT kind || $$ $$ || n FROM gate');
my @late = grep { ($found{$_} // 0) != $told{$_} } keys %told;
is("@late", '', 'no outcome changed after it was told');
my @changed = grep { ($found{"gone $_"} // 0) != $left{$_} } keys %left;
is("@changed", '', 'no call of a terminated caller committed after its worker was at rest');
is($mon->value('SELECT count(*) FROM (SELECT FROM gate GROUP BY kind, n HAVING count(*) > 1) x'),
	0, 'and none committed twice');
note join "\n", map { "$_ = $tally{$_}" } sort keys %tally;
ok($tally{'timeout: aborted'} && $tally{'timeout: success'}
	&& $tally{'caller: aborted'} && $tally{'caller: success'},
	'the race was run from both sides');

# ---- cancelled after the commit, in the wait for a standby that never answers

$node->append_conf('postgresql.conf', q{
	wal_level = replica
	max_wal_senders = 2
	synchronous_standby_names = 'nobody'});
$s->quit;
$mon->quit;
$node->restart;
# The sessions' own statements must not wait for the standby.
($s, $mon) = map { session($node) } 1 .. 2;
for my $how ('cancel', 'timeout', 'terminate')
{
	my $c   = session($node);
	my $pid = $c->pid;
	$c->value(q{SET statement_timeout = '1s'}) if $how eq 'timeout';
	$c->send("SELECT autonomous_exec('INSERT INTO gate VALUES (\$1, 0, 0, 0)', 'sync $how')");
	ok($mon->until(q{SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE backend_type = 'pg_aside worker' AND wait_event = 'SyncRep')}),
		"$how: the worker waits for its standby");
	$mon->run("SELECT pg_${how}_backend($pid)") unless $how eq 'timeout';
	my $r = $c->wait;
	ended_well($r, $how eq 'terminate' ? '57P01' : '57014',
		"$how in the wait for a standby ends the call");
	like($r->{detail}, qr/committed/, "$how: DETAIL says that it is committed")
	  unless $how eq 'terminate';
	$c->quit;
	ok(quiet($mon, 10), "$how: the worker comes to rest");
	is($mon->value("SELECT count(*) FROM gate WHERE kind = 'sync $how'"), 1, "$how: and so it is");
}

# ---- nested: each depth is told of, whoever is cancelled

$mon->value('SET synchronous_commit = local; CREATE TABLE nested (how text, depth int)');
for my $how ('caller', 'outer worker', 'inner worker')
{
	my $c = session($node);
	my $outer = sprintf q{INSERT INTO nested VALUES ('%s', 1);
		SELECT autonomous_exec('INSERT INTO nested VALUES (''%1$s'', 2)')}, $how;
	$c->send("SELECT autonomous_exec(\$x\$$outer\$x\$)");
	ok($mon->until(q{SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE backend_type = 'pg_aside worker' AND wait_event = 'SyncRep')}),
		"$how: the inner worker waits for its standby");
	my %pid = (caller => $c->pid);
	$pid{'inner worker'} = $mon->value(q{SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'pg_aside worker' AND wait_event = 'SyncRep'});
	$pid{'outer worker'} = $mon->value("SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'pg_aside worker' AND xact_start IS NOT NULL AND pid <> $pid{'inner worker'}");
	$mon->value("SELECT pg_cancel_backend($pid{$how})");
	if ($how eq 'inner worker')
	{
		# Its commit goes on without the standby; then the outer one's commit waits for it.
		ok($mon->until("SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE pid = $pid{'outer worker'} AND wait_event = 'SyncRep')"), "$how: the outer one commits");
		$mon->value("SELECT pg_cancel_backend($pid{'outer worker'})");
		ok($c->wait->{ok}, "$how: the call succeeds");
	}
	else
	{
		my $r = $c->wait;
		ended_well($r, '57014', "$how: the call is cancelled");
		is($r->{detail}, 'The autonomous transaction at depth 2 had already committed.',
			"$how: DETAIL tells of the inner one, and of that alone");
	}
	ok(quiet($mon, 10), "$how: the workers come to rest");
	is($mon->value("SELECT string_agg(depth::text, ' ' ORDER BY depth) FROM nested WHERE how = '$how'"),
		$how eq 'inner worker' ? '1 2' : '2', "$how: and so it is");
	$c->quit;
}

# ---- what an inner call has returned from is there, whenever the outer one is cancelled

$mon->value(q{CREATE TABLE steps (n int, step text);
	ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf()});
$mon->until(q{SELECT current_setting('synchronous_standby_names') = ''});
my $c = session($node);
$mon->value(q{CREATE FUNCTION outer_one(n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM autonomous_exec('INSERT INTO steps VALUES ($1, ''inner'')', n);
		PERFORM autonomous_exec('INSERT INTO steps VALUES ($1, ''returned'')', n);
		PERFORM pg_sleep(0.01);
	END$$});
for my $n (1 .. ROUNDS)
{
	$c->send("SELECT autonomous_exec('SELECT outer_one($n)')");
	usleep(rand(12_000));
	$mon->value("SELECT pg_cancel_backend(@{[$c->pid]})");
	my $r = $c->wait;
	$told{"step $n"} = $r->{detail};
}
quiet($mon);
is($mon->value(q{SELECT count(*) FROM steps s WHERE step = 'returned'
	AND NOT EXISTS (SELECT FROM steps i WHERE i.n = s.n AND i.step = 'inner')}),
	0, 'an inner transaction that has returned is never undone');
my @untrue = grep {
	$told{"step $_"} =~ /at depth 2 had already committed/
	  && $mon->value("SELECT count(*) = 0 FROM steps WHERE n = $_") eq 't'
} 1 .. ROUNDS;
is("@untrue", '', 'and none is told of that never began');
$c->quit;
finish_all($s, $mon);
$node->stop('immediate');
done_testing();
