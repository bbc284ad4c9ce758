# Claim: however many notifications come at once, none of them is lost, and the
# coordinator's memory stays small.
# ASIDE_TEST_NOTIFICATIONS: how many in one transaction; 100000 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $many = $ENV{ASIDE_TEST_NOTIFICATIONS} || 100_000;
my $node = aside_node('flood', conf => <<"CONF");
synchronous_commit = off
fsync = off
autovacuum = off
max_wal_size = 4GB
shared_buffers = 16MB
CONF
my $mon = session($node);
$mon->value(<<'SQL');
CREATE TABLE got (at bigserial, what text);
CREATE TABLE sizes (at bigserial, what text, bytes int);
SELECT async_event_on('durable', command => 'INSERT INTO got (what) VALUES ($1)', durable => true, batch_size => 1000),
	async_event_on('plain', command => 'INSERT INTO got (what) VALUES ($1)'),
	async_event_on('wide', command => 'INSERT INTO sizes (what, bytes) VALUES (left($1, 6), length($1))', durable => true, batch_size => 1000);
SQL

sub coordinator
{
	return $mon->value(q{SELECT pid FROM aside.coordinators WHERE database = 'postgres' AND state = 'running'});
}

sub hears
{
	my ($channel, $table) = @_;
	return $mon->until(qq{SELECT pg_notify('$channel', 'hear')::text <> 'x' AND EXISTS (SELECT FROM $table WHERE what = 'hear')}, 20)
	  && $mon->value("SELECT pg_notify('$channel', 'last') IS NOT NULL") && $mon->until("SELECT EXISTS (SELECT FROM $table WHERE what = 'last')");
}

# All of one transaction; seconds until the last one is handled.
sub flood
{
	my ($channel, $table, $width, $timeout) = @_;
	hears($channel, $table) or diag("nobody hears $channel");
	$mon->value("TRUNCATE $table");
	my $begin = time;
	$mon->value("SELECT count(pg_notify('$channel', rpad(to_char(i, 'FM000000'), $width, ' x'))) FROM generate_series(1, $many) i", 60);
	my $sent = time - $begin;
	$mon->until("SELECT count(*) = $many FROM $table", $timeout);
	diag(sprintf '%s: sent after %.1f s, handled after %.1f s', $channel, $sent, time - $begin);
	return is($mon->value("SELECT count(*) || ' ' || count(DISTINCT what) FROM $table"), "$many $many", "$channel: each is handled once");
}

flood('durable', 'got', 500, 60);
flood('plain', 'got', 6, 60);
is($mon->value('SELECT count(*) FROM (SELECT what < lag(what) OVER (ORDER BY at) AS wrong FROM got) x WHERE wrong'), 0, 'plain: in their order');

$mon->quit;
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|FATAL:  out|TRAP:|coordinator of events failed/, 'the log complains of nothing');
done_testing();
