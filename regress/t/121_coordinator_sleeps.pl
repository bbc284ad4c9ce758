# Claim: a coordinator that sleeps asks its database nothing: neither transactions nor statements are counted there, with handlers and
# schedules that have nothing due, with events that wait for a time far off, and with events of a paused handler.
# ASIDE_TEST_IDLE: seconds that are watched; 4 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;
use Time::HiRes qw(usleep);

my $seconds = $ENV{ASIDE_TEST_IDLE} || 4;
my $libdir = `pg_config --pkglibdir`;
chomp $libdir;
my $statements = -e "$libdir/pg_stat_statements.so";

my $node = aside_node('sleeps', conf => "autovacuum = off\n"
	  . ($statements ? "shared_preload_libraries = 'pg_aside, pg_stat_statements'\n" : ''));
my $mon = session($node);
$node->safe_psql('postgres', 'CREATE DATABASE d');
my $one = session($node, db => 'd');
$one->value('CREATE EXTENSION pg_aside; CREATE TABLE done (id int)');
$mon->value('CREATE EXTENSION pg_stat_statements') if $statements;
$one->value(<<'SQL');
SELECT async_event_on('c', command => 'INSERT INTO public.done VALUES (1)', name => 'works'),
	async_event_on('c', command => 'INSERT INTO public.done VALUES (2)', name => 'paused'), async_event_pause('paused'),
	schedule_set('yearly', '0 0 1 1 *', 'SELECT 1');
SELECT count(async_event_emit('c')) FROM generate_series(1, 100);
SELECT count(async_event_emit('c', delay => '1 day')) FROM generate_series(1, 100);
SQL
ok($one->until('SELECT count(*) = 100 FROM done'), 'there is something to do');
$one->quit;

# What is counted about the database; a process tells of what it did some time after it.
sub counts
{
	return join ' ', $mon->value(q{SELECT xact_commit || ' ' || xact_rollback FROM pg_stat_database WHERE datname = 'd'}),
	  $statements ? $mon->value(q{SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = 'd'}) : '';
}
my ($counts, $quiet) = (counts(), 0);
for (1 .. 60 + $seconds)
{
	usleep(1_000_000);
	my $now = counts();
	($counts, $quiet) = ($now, $now eq $counts ? $quiet + 1 : 0);
	last if $quiet >= $seconds;
}
cmp_ok($quiet, '>=', $seconds, "for $seconds s nothing happens in its database");
is($mon->value(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'd' AND backend_type = 'pg_aside coordinator'}), 1, 'and it is there');
$one = session($node, db => 'd');
$one->value(q{SELECT async_event_emit('c')});
ok($one->until('SELECT count(*) = 101 FROM done'), 'when there is something to do, it does it');
finish_all($one, $mon);
$node->stop;
done_testing();
