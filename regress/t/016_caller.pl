# Claim: a client that comes by TCP is known to autonomous code by its address, its
# statement and its application, and so is its work to the log; what asks for a
# connection's socket gets no answer, and no harm.
# And what a worker did is in the statistics while it waits for more to do.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

foreach my $preload (1, 0)
{
	my $mode = $preload ? 'preloaded' : 'private';
	my $node = aside_node($mode, preload => $preload,
		conf => "listen_addresses = '127.0.0.1'\nlog_line_prefix = '<%p|%u|%a|%h|%r> '\n");
	my $tcp = sub {
		my ($sql) = @_;
		my ($out, $err) = ('', '');
		$node->psql('postgres', $sql, connstr => 'host=127.0.0.1 port=' . $node->port . ' dbname=postgres application_name=far',
			extra_params => ['-X'], stdout => \$out, stderr => \$err);
		return $out . $err;
	};
	my $address = q{inet_client_addr(), inet_client_port(), inet_server_addr(), inet_server_port()};
	my $columns = q{a inet, b int, c inet, d int};
	is($tcp->(qq{SELECT (SELECT inside FROM autonomous_query('SELECT $address') AS inside($columns)) = ROW($address), inet_client_addr()}),
		't|127.0.0.1', "$mode: a command sees the client's address, and the server's");
	is($tcp->(qq{SELECT (SELECT inside FROM autonomous_query('SELECT client_addr, client_port, server_addr, server_port FROM aside.caller()')
			AS inside($columns)) = ROW($address)}), 't', '... aside.caller() tells it, too');
	is($tcp->(qq{SELECT (SELECT inside FROM autonomous_query(\$q\$SELECT * FROM autonomous_query('SELECT $address') AS i($columns)\$q\$)
			AS inside($columns)) = ROW($address)}), 't', '... at any depth');
	is($tcp->(qq{SELECT (SELECT inside FROM async_result(async_exec('SELECT $address')) AS inside($columns)) = ROW($address)}),
		't', '... and a task that of its submitter');
	$tcp->(q{CREATE FUNCTION audits() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
		BEGIN INSERT INTO audited VALUES (inet_client_addr(), current_query(), (aside.caller()).application_name); RETURN NULL; END $$;
		CREATE TABLE audited (a inet, q text, p text);
		CREATE TRIGGER audits AFTER INSERT ON t EXECUTE FUNCTION audits()});
	$tcp->('INSERT INTO t DEFAULT VALUES');
	is($tcp->('TABLE audited'), '127.0.0.1|INSERT INTO t DEFAULT VALUES|far', "$mode: an audit trigger has what it wants");

	my $from = -s $node->logfile;
	$tcp->(q{SELECT autonomous_exec('SELECT 1/0 -- far')});
	$node->wait_for_log(qr/STATEMENT:  SELECT 1\/0 -- far/, $from);
	like(substr(slurp_file($node->logfile), $from), qr/^<(\d+)\|\w+\|far\|127\.0\.0\.1\|127\.0\.0\.1\(\d+\)> ERROR: .*\n<\1\|.*\n<\1\|.*STATEMENT:  SELECT 1\/0 -- far/m,
		"$mode: the log has the client's host, too");

	# A socket's settings, in a process that has none.
	$from = -s $node->logfile;
	is($tcp->(q{SET tcp_keepalives_idle = 77; SELECT autonomous_exec('SET tcp_keepalives_count = 3; SELECT * FROM pg_settings; SHOW tcp_user_timeout') > 0}),
		't', "$mode: settings of a socket can be made and shown");
	is($tcp->(q{SELECT v FROM autonomous_query('SELECT 5') AS (v int)}), 5, '... and the next one finds nothing of it');
	unlike(substr(slurp_file($node->logfile), $from), qr/sockopt/, '... and nobody looked for the socket');
  SKIP:
	{
		skip 'no sslinfo here', 1 if $tcp->('CREATE EXTENSION sslinfo') ne '';
		is($tcp->(q{SELECT * FROM autonomous_query('SELECT ssl_is_used(), ssl_version()') AS (used bool, version text)}), 'f|',
			"$mode: sslinfo finds a connection without SSL, and not none");
	}

	# By socket the next caller of the same worker has no address.
	is($node->safe_psql('postgres', qq{SELECT coalesce(a, '0.0.0.0') FROM autonomous_query('SELECT $address') AS inside($columns)}), '0.0.0.0',
		"$mode: the address is each caller's own");

	# Statistics, soon after the last call.
	my $s = session($node);
	$s->run('CREATE TABLE counted (n int)');
	$s->run(q{SELECT autonomous_exec('INSERT INTO counted VALUES (1)') FROM generate_series(1, 3)}) for 1 .. 2;
	ok(session($node)->until(q{SELECT n_tup_ins = 6 FROM pg_stat_all_tables WHERE relname = 'counted'}, 15),
		"$mode: what a worker did last is reported while it is idle");
	$s->quit;
	$node->stop;
}

done_testing();
