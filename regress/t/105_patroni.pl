# Claim: under Patroni, on two nodes with a third vote, calls, events and schedules go through a switchover and the death of the
# leader: what the new leader has was committed, each event takes effect once, schedules go on.
#
# It takes a minute or two: it runs if ASIDE_TEST_EXTRA has the word patroni, and Patroni with raft is installed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

plan skip_all => 'ASIDE_TEST_EXTRA does not have the word patroni' unless ($ENV{ASIDE_TEST_EXTRA} // '') =~ /\bpatroni\b/;
my ($patroni) = grep { -x } map { "$_/patroni" } split(/:/, $ENV{PATH}), '/usr/bin', '/usr/local/bin';
my ($vote) = grep { -x } map { "$_/patroni_raft_controller" } split(/:/, $ENV{PATH}), '/usr/bin', '/usr/local/bin';
plan skip_all => 'patroni, or its patroni_raft_controller, is not installed' unless $patroni && $vote;
plan skip_all => 'pysyncobj, which Patroni has raft from, is not installed' if system("/usr/bin/python3 -c 'import pysyncobj' 2>/dev/null");

my $dir = PostgreSQL::Test::Utils::tempdir;
my $short = PostgreSQL::Test::Utils::tempdir_short;
my $some = PostgreSQL::Test::Cluster->new('unused');
my ($bin) = $some->config_data('--bindir');
my %port = map { ($_ => PostgreSQL::Test::Cluster::get_free_port()) } qw(a_raft b_raft c_raft a_rest b_rest a b);
my (%run, %log);

sub start
{
	my ($name) = @_;
	my @others = map { "\"127.0.0.1:$port{\"${_}_raft\"}\"" } grep { $_ ne $name } qw(a b c);
	my $raft = "raft:\n  data_dir: $dir/raft_$name\n  self_addr: 127.0.0.1:$port{\"${name}_raft\"}\n  partner_addrs: [" . join(', ', @others) . "]\n";
	my $yml = "scope: aside\nname: $name\n$raft";
	$yml .= <<"YML" if $name ne 'c';
restapi:
  listen: 127.0.0.1:$port{"${name}_rest"}
  connect_address: 127.0.0.1:$port{"${name}_rest"}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 5
    postgresql:
      use_pg_rewind: true
      parameters:
        shared_preload_libraries: pg_aside
        max_worker_processes: 20
        wal_log_hints: 'on'
        wal_keep_size: 256MB
  initdb:
  - encoding: UTF8
  - locale: C
  pg_hba:
  - local all all trust
  - host all all 127.0.0.1/32 trust
  - host replication all 127.0.0.1/32 trust
postgresql:
  listen: 127.0.0.1:$port{$name}
  connect_address: 127.0.0.1:$port{$name}
  data_dir: $dir/data_$name
  bin_dir: $bin
  pgpass: $dir/pgpass_$name
  authentication:
    superuser: {username: postgres}
    replication: {username: replicator}
    rewind: {username: postgres}
  parameters:
    unix_socket_directories: $short
    fsync: 'off'
YML
	open my $out, '>', "$dir/$name.yml" or die $!;
	print $out $yml;
	close $out;
	$run{$name} = IPC::Run::start([ $name eq 'c' ? $vote : $patroni, "$dir/$name.yml" ], '<' => \undef, '>' => "$dir/$name.log", '2>&1');
	return;
}

# One answer of a node; undef if it gives none.
sub ask
{
	my ($name, $sql) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ "$bin/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', "host=$short port=$port{$name} user=postgres dbname=postgres", '-c', $sql ],
		'<' => \undef, '>' => \$out, '2>' => \$err) or return undef;
	chomp $out;
	return $out;
}

sub until_true
{
	my ($name, $sql, $what) = @_;
	my $deadline = time + 120;
	while (time < $deadline)
	{
		my $answer = ask($name, $sql);
		return ok(1, $what) if defined $answer && $answer eq 't';
		usleep(100_000);
	}
	diag(slurp_file("$dir/$_.log") =~ /((?:.*\n){0,15})\z/) for sort keys %run;
	return ok(0, $what);
}

sub leader_is
{
	my ($name, $what) = @_;
	return until_true($name, 'SELECT NOT pg_is_in_recovery()', $what);
}

start($_) for 'c', 'a';
leader_is('a', 'the first node leads');
start('b');
until_true('b', 'SELECT pg_is_in_recovery()', 'the second node follows');
ask('a', $_) // BAIL_OUT("failed: $_") for (
	'CREATE EXTENSION pg_aside',
	'CREATE TABLE calls (n int); CREATE TABLE ledger (id bigint); CREATE TABLE effects (id bigint); CREATE TABLE ticks (at timestamptz DEFAULT now())',
	q{CREATE FUNCTION handle(e aside.event) RETURNS void LANGUAGE sql AS 'INSERT INTO effects VALUES (e.id)'},
	q{SELECT async_event_on('c', 'handle(aside.event)', concurrency => 2)},
	q{SELECT schedule_set('ticks', 'every 1 second', 'INSERT INTO ticks DEFAULT VALUES')});
until_true('a', q{SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')}, 'and streams');

sub load
{
	my ($name) = @_;
	my $sql = q{DO $$ DECLARE n int := 0; BEGIN LOOP n := n + 1; PERFORM autonomous_exec('INSERT INTO calls VALUES ($1)', n);
		INSERT INTO ledger SELECT async_event_emit('c', '1') FROM generate_series(1, 3); COMMIT; PERFORM pg_sleep(0.02); END LOOP; END $$};
	my $load = IPC::Run::start([ "$bin/psql", '-Xq', '-d', "host=$short port=$port{$name} user=postgres dbname=postgres", '-c', $sql ], '<' => \undef, '>' => '/dev/null', '2>&1');
	my $before = ask($name, 'SELECT count(*) FROM effects');
	until_true($name, "SELECT count(*) > $before + 30 FROM effects", "$name: events are on their way");
	return $load;
}

sub goes_on
{
	my ($name, $how) = @_;
	until_true($name, 'SELECT NOT EXISTS (SELECT id FROM ledger EXCEPT SELECT id FROM effects)', "$how: each event that was committed takes effect");
	is(ask($name, 'SELECT count(*) FROM (SELECT FROM effects GROUP BY id HAVING count(*) > 1) x'), 0, "$how: once");
	is(ask($name, 'SELECT count(*) FROM effects WHERE id NOT IN (SELECT id FROM ledger)'), 0, "$how: and none that was not committed");
	my $ticks = ask($name, 'SELECT count(*) FROM ticks');
	until_true($name, "SELECT count(*) > $ticks FROM ticks", "$how: schedules go on");
	return;
}

my $load = load('a');
my ($out, $err) = ('', '');
ok(IPC::Run::run([ $patroni . 'ctl', '-c', "$dir/a.yml", 'switchover', '--force', '--master', 'a', '--candidate', 'b', 'aside' ], '<' => \undef, '>' => \$out, '2>' => \$err),
	'switchover') or diag("$out$err");
leader_is('b', 'switchover: the other node leads');
eval { $load->finish };
goes_on('b', 'switchover');
until_true('a', q{SELECT pg_is_in_recovery() AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%')},
	'switchover: the old leader follows, and runs nothing');
until_true('b', q{SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')}, 'switchover: it streams');

# The leader's node dies at once.
$load = load('b');
my ($pid) = slurp_file("$dir/data_b/postmaster.pid") =~ /^(\d+)/;
$run{b}->signal('KILL');
kill 'QUIT', $pid;
eval { $_->finish } for $run{b}, $load;
leader_is('a', 'failover: the first node leads again');
goes_on('a', 'failover');
start('b');
until_true('b', q{SELECT pg_is_in_recovery() AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%')},
	'rejoin: the dead leader follows, and runs nothing');
goes_on('a', 'rejoin');

$run{$_}->signal('TERM') for sort keys %run;
eval { $run{$_}->finish } for sort keys %run;
done_testing();

END
{
	# What a failed run has left behind.
	for my $name ('a', 'b')
	{
		next unless defined $dir && -f "$dir/data_$name/postmaster.pid";
		my ($left) = slurp_file("$dir/data_$name/postmaster.pid") =~ /^(\d+)/;
		kill 'QUIT', $left if $left;
	}
}
