# Claim: what contrib/ asks of the server can be asked by a role that may only monitor, docs/monitoring.md lists each figure that there
# is, and views say of a coordinator that fails that it does.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = $ENV{ASIDE_TOP} || "$FindBin::RealBin/../..";
my $node = aside_node('monitoring');
my $mon = session($node);
$mon->value(<<'SQL');
CREATE ROLE exporter LOGIN IN ROLE pg_monitor;
SELECT async_event_on('watched', command => 'SELECT 1');
SELECT schedule_set('watched', 'every 1 day', 'SELECT 1');
CREATE TABLE rows (id int PRIMARY KEY);
SELECT parallel_start('watched', 'SELECT $1::int, $2::int', 'rows');
SELECT autonomous_exec('SELECT 1');
SELECT async_event_emit('watched');
SQL
ok($mon->until(q{SELECT count(*) = 1 FROM aside.metrics WHERE name = 'aside_handler_done_total' AND value = 1}), 'an event is counted');

my $asked = 0;
sub ask
{
	my ($what, $sql) = @_;
	$asked++;
	my ($rc, $out, $err) = $node->psql('postgres', $sql, extra_params => ['-U', 'exporter']);
	return if $rc == 0 && $err eq '';
	fail("$what can be asked");
	diag("$sql\n$err");
}

my $dashboard = decode_json(slurp_file("$top/contrib/grafana/pg_aside.json"));
my @panels = grep { $_->{type} ne 'row' } @{ $dashboard->{panels} };
ask("panel $_->{title}", $_->{targets}[0]{rawSql}) for @panels;
ok(@panels > 15 && $asked == @panels, 'each panel of the dashboard has a query that a monitor may ask');
is(scalar(grep { $_->{gridPos}{x} + $_->{gridPos}{w} > 24 } @panels), 0, 'and has its place');

my $exporter = slurp_file("$top/contrib/prometheus/sql_exporter.yml");
my %exported;
while ($exporter =~ /metric_name: (\w+)\n.*?query: \|\n      (SELECT [^\n]*)/sg)
{
	$exported{$1} = $2;
	ask("figure $1", $2);
}
my %documented = map { $_ => 1 } map { (split /\|/)[1] =~ /`(\w+)`/g } grep { /^\| `aside_/ } split /\n/, slurp_file("$top/docs/monitoring.md") =~ /^## All figures(.*?)^## /ms ? $1 : '';
is_deeply([sort keys %exported], [sort keys %documented], 'sql_exporter has what the documentation lists');
my @there = split /\n/, $mon->value('SELECT string_agg(DISTINCT name, chr(10)) FROM aside.metrics');
is_deeply([grep { !$documented{$_} } @there], [], 'each figure is documented');
my %there = map { $_ => 1 } @there;
is_deeply([grep { !$there{$_} } sort keys %documented], [], 'and what is documented is there');
my ($query) = slurp_file("$top/contrib/prometheus/postgres_exporter.yml") =~ /query: \|\n\s+(SELECT [^\n]*)/;
ask('postgres_exporter', $query);
my @names = slurp_file("$top/contrib/prometheus/rules.yml") =~ /\b(aside_\w+)/g;
is_deeply([grep { !$documented{$_} } @names], [], 'alerts are about figures that there are');

# A column that its queries need is called otherwise.
my $reasons = q{SELECT count(reason) FROM (SELECT reason FROM aside.handlers UNION ALL SELECT reason FROM aside.schedules UNION ALL SELECT reason FROM aside.parallel_jobs) r};
is($mon->value($reasons), 0, 'all may run');
$mon->value('ALTER TABLE aside.event_log_0 RENAME next_at TO no_more');
$mon->value(q{SELECT async_event_emit('watched')});
ok($mon->until(q{SELECT EXISTS (SELECT FROM aside.coordinators WHERE state = 'failing' AND failures > 0)}), 'a coordinator whose queries fail is failing');
is($mon->value($reasons), 3, 'handlers, schedules and jobs say so');
is($mon->value(q{SELECT coordinator FROM aside.event_stats}), 'failing', 'and so does event_stats');
is($mon->value(q{SELECT string_agg(labels ->> 'state', ' ') FROM aside.metrics WHERE name = 'aside_coordinator_state'}), 'failing', 'and a figure');
is($mon->value(q{SELECT count(*) FROM aside.events WHERE state = 'running'}), 0, 'nothing is said to run');
$mon->value('ALTER TABLE aside.event_log_0 RENAME no_more TO next_at');
ok($mon->until(q{SELECT (SELECT count(*) FROM aside.events WHERE state = 'done') = 2 AND (SELECT count(reason) FROM aside.handlers) = 0}), 'until it works again');

$mon->quit;
done_testing();
