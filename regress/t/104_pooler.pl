# Claim: behind pgbouncer calls, tasks and events work in each pool mode; in session mode the next client meets nothing of the last
# one; in transaction mode a session lives within one transaction if it is closed there.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;

my $node = aside_node('behind', conf => "max_worker_processes = 20\n");
$node->safe_psql('postgres', q{CREATE TABLE told (what text);
	CREATE FUNCTION handle(what text) RETURNS void LANGUAGE sql AS 'INSERT INTO told VALUES (what)';
	SELECT async_event_on('a', 'handle(text)')});
my $user = $node->safe_psql('postgres', 'SELECT current_user');
my $dir = $node->basedir;
for my $mode ('session', 'transaction')
{
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($host, $server_port) = ($node->host, $node->port);
	append_to_file("$dir/users", qq{"$user" ""\n}) unless -f "$dir/users";
	append_to_file("$dir/$mode.ini", <<"INI");
[databases]
postgres = host=$host port=$server_port pool_size=1
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $host
auth_type = trust
auth_file = $dir/users
pool_mode = $mode
logfile = $dir/$mode.log
pidfile = $dir/$mode.pid
INI
	my $pooler = IPC::Run::start([ $pgbouncer, "$dir/$mode.ini" ], '<' => \undef, '>' => "$dir/$mode.out", '2>&1');
	my $options = "host=$host port=$port dbname=postgres user=$user";
	my $psql = sub {
		my ($sql) = @_;
		my ($out, $err) = ('', '');
		IPC::Run::run([ $node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=sqlstate', '-d', $options, '-f', '-' ], '<' => \$sql, '>' => \$out, '2>' => \$err);
		chomp($out, $err);
		return $err eq '' ? $out : $err =~ s/.*ERROR:\s+//sr;
	};
	my $up = 0;
	for (1 .. 300) { last if $up = $psql->('SELECT 1') eq '1'; select undef, undef, undef, 0.1 }
	ok($up, "$mode: the pooler answers");
	is($psql->(q{SELECT n FROM autonomous_query('SELECT 40 + $1', 2) AS q(n int)}), 42, "$mode: calls work");
	my $task = $psql->(q{SELECT async_exec('SELECT 43')});
	is($psql->("SELECT n FROM async_result($task) AS r(n int)"), 43, "$mode: another client of the same role reads a task");
	$psql->(qq{SELECT async_event_emit('a', '"$mode"')});
	my $s = session($node);
	ok($s->until("SELECT EXISTS (SELECT FROM told WHERE what = '$mode')", 60), "$mode: events work");
	$s->quit;
	is($psql->(q{BEGIN; SELECT autonomous_session_open('s'); SELECT autonomous_session_exec('s', 'SELECT 1'); SELECT autonomous_session_close('s'); COMMIT}) =~ s/\n+/ /gr =~ s/^ | $//gr,
		'SELECT 1', "$mode: a session within a transaction works");
	if ($mode eq 'session')
	{
		$psql->(q{SELECT autonomous_session_open('left open')});
		is($psql->(q{SELECT autonomous_session_exec('left open', 'SELECT 1')}), '08003', "$mode: the next client does not meet a session that was left open");
	}
	$pooler->signal('INT');
	$pooler->finish;
}
$node->stop;
done_testing();
