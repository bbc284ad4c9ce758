# Claim: the server's log has of autonomous work what it would have of a client's:
# statements, durations, messages and errors of calls, sessions, tasks and handlers,
# once, from the worker, with user, database and application, and saying for whom.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $prefix = "log_line_prefix = '<%p|%b|%u|%d|%a> '";

# Lines of the log since a place in it, once one matches; messages with their DETAIL, CONTEXT and so on.
sub log_since
{
	my ($node, $from, $wanted) = @_;
	$node->wait_for_log($wanted, $from);
	return substr(slurp_file($node->logfile), $from);
}

sub here { return -s $_[0]->logfile; }

sub count_of { my ($text, $pattern) = @_; my @all = $text =~ /$pattern/g; return scalar @all; }

foreach my $preload (1, 0)
{
	my $mode = $preload ? 'preloaded' : 'private';
	my $node = aside_node($mode, preload => $preload, conf => "$prefix\nlog_min_messages = warning\n");
	my $s = session($node);
	$s->run('CREATE ROLE alice LOGIN; GRANT aside_user TO alice; GRANT ALL ON t TO alice; GRANT CREATE ON SCHEMA public TO alice');
	$s->run("SET application_name = 'the program'");
	my $me = $s->pid;
	my $worker = qr/<\d+\|pg_aside worker\|postgres\|postgres\|the program>/;
	my $caller = qr/<$me\|client backend\|postgres\|postgres\|the program>/;
	my $warn = sub { "DO \$b\$ BEGIN RAISE WARNING '$_[0]' USING DETAIL = 'a detail', HINT = 'a hint'; END \$b\$" };
	my $from;
	my $log;

	# Each entry: a warning is logged by the worker, and by nobody else, whoever is told.
	$s->run("SELECT autonomous_session_open('s')");
	$s->run("CREATE EXTENSION aside_dblink; CREATE EXTENSION aside_pg_background; SELECT dblink_connect('d', 'dbname=postgres')");
	$s->run(qq{CREATE FUNCTION warns(what text) RETURNS void LANGUAGE plpgsql_autonomous AS \$f\$
		BEGIN RAISE WARNING '%', what USING DETAIL = 'a detail', HINT = 'a hint'; END \$f\$});
	my %entry = (
		exec => sub { $s->run("SELECT autonomous_exec(\$q\$$_[0]\$q\$)") },
		query => sub { $s->run("SELECT * FROM autonomous_query(\$q\$$_[0]; SELECT 1\$q\$) AS q(n int)") },
		query_as => sub { $s->run("SELECT * FROM autonomous_query_as(0, \$q\$$_[0]; SELECT 1\$q\$)") },
		json => sub { $s->run("SELECT * FROM autonomous_json(\$q\$$_[0]; SELECT 1\$q\$)") },
		routine => sub { $s->run("SELECT warns('routine_$_[1]')") },
		session => sub { $s->run("SELECT autonomous_session_exec('s', \$q\$$_[0]\$q\$)") },
		sent => sub { $s->run("SELECT autonomous_session_send('s', \$q\$$_[0]\$q\$)");
			$s->run("SELECT * FROM autonomous_session_result('s') AS (x text)") },
		task => sub { $s->run("SELECT * FROM async_result(async_exec(\$q\$$_[0]; SELECT 1\$q\$)) AS r(n int)") },
		on_commit => sub { $s->run("BEGIN"); $s->run("SELECT async_exec_on_commit(\$q\$$_[0]\$q\$)"); $s->run("COMMIT") },
		dblink => sub { $s->run("SELECT dblink_exec('d', \$q\$$_[0]\$q\$)") },
		pg_background => sub { $s->run("SELECT * FROM pg_background_result(pg_background_launch(\$q\$$_[0]\$q\$)) AS (tag text)") },
		nested => sub { $s->run("SELECT autonomous_exec(\$n\$SELECT autonomous_exec(\$q\$$_[0]\$q\$)\$n\$)") });
	foreach my $level ('warning', 'error', 'log')
	{
		$s->run("SET client_min_messages = $level");
		foreach my $entry (sort keys %entry)
		{
			$from = here($node);
			$entry{$entry}->($warn->("${entry}_$level"), $level);
			$log = log_since($node, $from, qr/HINT:  a hint/);
			is(count_of($log, qr/${entry}_$level$/m), 1, "$mode, to client $level: a warning of $entry is logged once");
			like($log, qr/^$worker WARNING:  ${entry}_$level\n(?:.*\n)*?$worker DETAIL:  a detail\n(?:.*\n)*?.*(?:transaction|task \d+) of process \d+$/m,
				"... by the worker, with its fields, and for whom");
		}
	}
	$s->run('SET client_min_messages = warning');

	# An error: of the worker's statement always, and of the caller's where it is not caught there.
	$from = here($node);
	$s->run("SELECT autonomous_exec('SELECT 1/0 -- own')");
	$log = log_since($node, $from, qr/STATEMENT:  SELECT autonomous_exec/);
	like($log, qr/^$worker ERROR:  division by zero\n$worker CONTEXT:  autonomous transaction of process $me\n$worker STATEMENT:  SELECT 1\/0 -- own$/m,
		"$mode: an error is logged as that of the worker's statement");
	like($log, qr/^$caller ERROR:  division by zero\n$caller CONTEXT:  autonomous transaction\n$caller STATEMENT:  SELECT autonomous_exec/m,
		'... and as that of its caller');
	is(count_of($log, qr/ERROR:  division by zero$/m), 2, '... once each');
	$from = here($node);
	$s->run(q{DO $$ BEGIN PERFORM autonomous_exec('SELECT nothing'); EXCEPTION WHEN undefined_column THEN NULL; END $$});
	$log = log_since($node, $from, qr/STATEMENT:  SELECT nothing/);
	is(count_of($log, qr/ERROR:  column "nothing" does not exist/), 1, '... an error that is caught is logged by the worker only');
	$from = here($node);
	$s->run("SELECT autonomous_exec('SELECT 1', 2)");
	like(log_since($node, $from, qr/STATEMENT:  SELECT 1$/m), qr/^$worker ERROR:  too many arguments/m, '... one of ours, too');
	my $task = $s->value(q{SELECT async_exec('SELECT 2/0 -- detached')});
	$s->value("SELECT async_detach($task)");
	like(log_since($node, 0, qr/STATEMENT:  SELECT 2\/0 -- detached/),
		qr/^$worker ERROR:  division by zero\n$worker CONTEXT:  task $task of process $me\n/m, "$mode: a task that fails leaves a line, read or not");
	$from = here($node);
	$s->run("SELECT autonomous_session_send('s', 'SELECT 3/0 -- sent')");
	log_since($node, $from, qr/STATEMENT:  SELECT 3\/0 -- sent/);
	pass("$mode: a sent command that fails leaves a line before it is read");
	$s->run("SELECT * FROM autonomous_session_result('s') AS (x text)");

	# What is passed on is as it was without the log.
	my $r = $s->run("SELECT autonomous_exec(\$q\$" . $warn->('as before') . "\$q\$)");
	unlike($r->{out} . $r->{err}, qr/of process/, "$mode: the client is not told for whom the worker works");

	# Statements and durations, by the settings that the caller has.
	$s->run("SET log_statement = 'mod'");
	$s->run("SELECT autonomous_session_exec('s', 'SET log_statement = mod')");
	$from = here($node);
	$s->run(q{SELECT autonomous_exec('INSERT INTO t VALUES ($1, $2)', 'it''s', 4), autonomous_exec('SELECT 5')});
	$s->run(q{SELECT autonomous_exec('SELECT 6; DELETE FROM t')});
	$s->run(q{SELECT autonomous_session_exec('s', 'UPDATE t SET n = 7')});
	$s->run(q{SELECT * FROM async_result(async_exec('DELETE FROM t RETURNING n')) AS (n int)});
	$log = log_since($node, $from, qr/statement: DELETE FROM t RETURNING n/);
	like($log, qr/^$worker LOG:  execute <unnamed>: INSERT INTO t VALUES \(\$1, \$2\)\n$worker DETAIL:  parameters: \$1 = 'it''s', \$2 = '4'$/m,
		"$mode: log_statement shows a command and its parameters");
	like($log, qr/^$worker LOG:  statement: SELECT 6; DELETE FROM t$/m, '... one of several statements');
	like($log, qr/^$worker LOG:  statement: UPDATE t SET n = 7$/m, '... one of a session');
	unlike($log, qr/worker.* LOG:  statement: SELECT 5/, '... and what it does not speak of is not shown');
	is(count_of($log, qr/worker.* LOG:  (?:statement|execute)/), 4, '... each once');
	$s->run("SET log_statement = 'none'; SET log_min_duration_statement = 0");
	$from = here($node);
	$s->run(q{SELECT autonomous_exec('INSERT INTO t VALUES ($1, 8)', 'timed')});
	like(log_since($node, $from, qr/execute <unnamed>: INSERT/),
		qr/^$worker LOG:  duration: \S+ ms  execute <unnamed>: INSERT INTO t VALUES \(\$1, 8\)\n$worker DETAIL:  parameters: \$1 = 'timed'$/m,
		"$mode: log_min_duration_statement shows how long a command took");
	$s->run('RESET log_min_duration_statement; RESET log_statement');
	$s->run('SET log_parameter_max_length_on_error = -1');
	$from = here($node);
	$s->run(q{SELECT autonomous_exec('SELECT $1 / $2', 9, 0)});
	like(log_since($node, $from, qr/STATEMENT:  SELECT \$1/), qr/^$worker CONTEXT:  .*with parameters: \$1 = '9', \$2 = '0'$/m,
		"$mode: log_parameter_max_length_on_error shows what a command was given");
	$s->run('RESET log_parameter_max_length_on_error');

	# Who may not set them has them as they are set for him.
	$s->run("ALTER ROLE alice SET log_statement = 'ddl'");
	my $alice = session($node, user => 'alice');
	$from = here($node);
	$alice->run(q{SELECT autonomous_exec('CREATE TABLE hers ()')});
	like(log_since($node, $from, qr/CREATE TABLE hers \(\)$/m), qr/\|alice\|postgres\|.*> LOG:  statement: CREATE TABLE hers \(\)$/m,
		"$mode: a role's settings hold in its workers, and its name is in the log");
	ended_well($alice->run(q{SELECT autonomous_exec('SET log_statement = none')}), '42501', '... and it cannot change them there');
	$alice->quit;

	# The place of an error in the source outlives other errors.
	$s->run(q{\set VERBOSITY verbose});
	$r = $s->run(q{DO $$ BEGIN
		PERFORM autonomous_exec('SELECT 1/0');
	EXCEPTION WHEN OTHERS THEN
		FOR n IN 1..40 LOOP
			BEGIN PERFORM autonomous_exec(format('SELECT %L::int', repeat('x', 8 * n))); EXCEPTION WHEN OTHERS THEN NULL; END;
		END LOOP;
		RAISE;
	END $$});
	like($r->{out} . $r->{err}, qr/LOCATION:  int4div, int\.c:\d+/, "$mode: an error that is raised again says where it was raised");
	$r = $s->run(q{SELECT autonomous_exec($q$DO $x$ BEGIN PERFORM autonomous_exec('SELECT 1/0'); END $x$ $q$)});
	like($r->{out} . $r->{err}, qr/LOCATION:  int4div, int\.c:\d+/, '... and one of a nested call');
	$s->quit;

	if ($preload)
	{
		$from = here($node);
		$node->safe_psql('postgres', q{
			CREATE FUNCTION handles(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
			BEGIN RAISE WARNING 'of a handler: %', e.payload; IF e.payload = '"bad"' THEN RAISE 'no good' USING DETAIL = 'too bad', HINT = 'mend it'; END IF; END $$;
			SELECT async_event_on('ch', 'handles(aside.event)', name => 'h', max_attempts => 1);
			SELECT async_event_emit('ch', '"good"'), async_event_emit('ch', '"bad"')});
		$log = log_since($node, $from, qr/CONTEXT: .*\n(?:\t.*\n)*\tevent handler h\n(?s:.*)ERROR:  no good(?s:.*)\tevent handler h\n/);
		is(count_of($log, qr/WARNING:  of a handler: "good"$/m), 1, 'a warning of a handler reaches the log');
		like($log, qr/\|postgres\|postgres\|.*> ERROR:  no good\n.*DETAIL:  too bad\n.*HINT:  mend it\n/, 'an error of a handler, too');
		$log = log_since($node, $from, qr/for good, in attempt 1.*\n.*DETAIL/);
		is(count_of($log, qr/LOG:  event handler "h" failed for event \d+ for good, in attempt 1: no good\n.*DETAIL:  too bad$/m), 1,
			'one line says that an event is dead');
		$node->safe_psql('postgres', "ALTER ROLE CURRENT_USER SET log_statement = 'all'");
		$from = here($node);
		$node->safe_psql('postgres', q{SELECT async_event_on('ch2', command => 'INSERT INTO t SELECT $2, 1', name => 'c'), async_event_emit('ch2')});
		$node->safe_psql('postgres', q{SELECT async_event_emit('ch', '"said"')});
		log_since($node, $from, qr/pg_aside worker.*LOG:  statement: $_\n.*CONTEXT:  event handler/)
		  foreach 'SELECT public\.handles\(\$1\)', 'INSERT INTO t SELECT \$2, 1';
		pass('log_statement shows what handlers are called by, and their commands');
		$node->safe_psql('postgres', q{SELECT async_event_on('ch3', name => 'd', command => $$INSERT INTO t
				SELECT concat_ws(' ', coalesce(c.query, 'nobody'), current_query(), inet_client_addr()), 3 FROM aside.caller() AS c WHERE $2 <> ''$$),
			async_event_emit('ch3')});
		ok(session($node)->until(q{SELECT count(*) = 1 FROM t WHERE tag = 'nobody event handler d' AND n = 3}),
			'in a handler aside.caller() tells of nobody');
		my $kept = "message = 'no good' AND detail = 'too bad' AND hint = 'mend it' AND context ~ '^PL/pgSQL function handles'";
		is($node->safe_psql('postgres', "SELECT count(*) FROM aside.dead_events WHERE $kept"), 1, '... its error is kept with its fields');
		is($node->safe_psql('postgres', "SELECT count(*) FROM aside.event_runs WHERE state = 'dead' AND $kept"), 1, '... in the attempt, too');
	}
	$node->stop;
}

# Modules that watch statements see those of workers as any other's.
SKIP:
{
	my $libdir = `pg_config --pkglibdir`;
	chomp $libdir;
	skip 'no pg_stat_statements or auto_explain here', 1 unless -e "$libdir/pg_stat_statements.so" && -e "$libdir/auto_explain.so";
	my $audit = -e "$libdir/pgaudit.so" ? ', pgaudit' : '';
	my $node = aside_node('watched', preload => 0,
		conf => "$prefix\nshared_preload_libraries = 'pg_aside, pg_stat_statements, auto_explain$audit'\n");
	my $s = session($node);
	$s->run('CREATE EXTENSION pg_stat_statements');
	$s->run(q{CREATE FUNCTION writes(i int) RETURNS void LANGUAGE plpgsql_autonomous AS $$ BEGIN INSERT INTO t VALUES ('routine', i); END $$});
	$s->run("SET auto_explain.log_min_duration = 0");
	$s->run("SET pgaudit.log = 'write'") if $audit;
	$s->run("SELECT autonomous_session_open('s')");
	$s->run('SELECT pg_stat_statements_reset()');
	my $from = here($node);
	$s->run(q{SELECT autonomous_exec('INSERT INTO t VALUES ($1, 1)', 'exec') FROM generate_series(1, 3)});
	$s->run(q{SELECT autonomous_session_exec('s', $q$INSERT INTO t VALUES ('session', 2)$q$)});
	$s->run(q{SELECT * FROM async_result(async_exec($q$INSERT INTO t VALUES ('task', 3) RETURNING n$q$)) AS (n int)});
	$s->run(q{SELECT writes(4)});
	is($s->value(q{SELECT string_agg(query || ' ' || calls, '; ' ORDER BY query COLLATE "C", calls) FROM pg_stat_statements
			WHERE query LIKE 'INSERT INTO t VALUES%'}),
		'INSERT INTO t VALUES ($1, $2) 1; INSERT INTO t VALUES ($1, $2) 3; INSERT INTO t VALUES ($1, $2) RETURNING n 1; INSERT INTO t VALUES ($2, i) 1',
		'pg_stat_statements counts each statement of a worker once')
	  or diag($s->value(q{SELECT string_agg(query || ' ' || calls, E'\n') FROM pg_stat_statements}));
	my $log = log_since($node, $from, qr/Query Text: INSERT INTO t VALUES \('routine', i\)/);
	is(count_of($log, qr/worker.* LOG:  duration: .* plan:\n\tQuery Text: INSERT INTO t/), 6, 'auto_explain shows their plans once');
  SKIP:
	{
		skip 'no pgaudit here', 1 unless $audit;
		is(count_of($log, qr/pg_aside worker\|postgres\|postgres\|.*AUDIT: SESSION,\d+,\d+,WRITE,INSERT,.*INSERT INTO t/), 6, 'pgaudit sees each once')
		  or diag($log);
	}
	$s->quit;
	$node->stop;
}

# plpgsql_check, as the guide for who comes from Oracle has it.
SKIP:
{
	my $libdir = `pg_config --pkglibdir`;
	chomp $libdir;
	skip 'no plpgsql_check here', 1 unless -e "$libdir/plpgsql_check.so";
	my $node = aside_node('checked', conf => "session_preload_libraries = 'plpgsql_check'\n");
	$node->safe_psql('postgres', q{CREATE FUNCTION checked(a int) RETURNS int LANGUAGE plpgsql_autonomous AS $$
		DECLARE x int; BEGIN IF a > 100 THEN SELECT nothing INTO x FROM pg_class; END IF; RETURN x; END $$});
	my $s = session($node);
	my $r = $s->run("SET plpgsql_check.mode = 'every_start'; SELECT checked(1)");
	like($r->{err} . $r->{out}, qr/column "nothing" does not exist/, 'plpgsql_check finds an error in a branch that is not taken');
	$s->quit;
	$node->stop;
}

done_testing();
