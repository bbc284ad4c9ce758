# Claim: the script that make writes from one version to the next leaves the catalog as a new installation has it: whatever came,
# went or changed between the two; what was in the tables lives on, and a downgrade is refused.
#
# The older version is made here, of the script that is installed: with what the newer one has not, without what it has, and
# with each kind of object changed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = aside_node('upgrade', conf => "max_worker_processes = 20\n");
my $dir = $node->config_data('--sharedir') . '/extension';
my ($now) = slurp_file("$dir/pg_aside.control") =~ /^default_version = '(.*)'/m;
my $script = slurp_file("$dir/pg_aside--$now.sql");

sub put
{
	my ($file, $text) = @_;
	open my $out, '>', $file or die "$file: $!";
	print $out $text;
	close $out or die "$file: $!";
	return;
}

# Each step must find what it changes.
my $old = $script;
sub change
{
	my ($from, $to, $name) = @_;
	my $n = $old =~ s/$from/ref $to ? $to->() : $to/e;
	ok($n, "the older version: $name");
	return;
}
change(qr/CREATE FUNCTION autonomous_json\(command text\).*?;/s, '', 'a function is not there yet');
change(qr/COMMENT ON FUNCTION autonomous_json\(text\) IS.*?';/s, '', 'nor its comment');
$old =~ s/autonomous_json\(text\), //g;
change(qr/(CREATE FUNCTION async_wait\(task bigint, timeout interval) DEFAULT NULL/, sub { "$1 DEFAULT NULL, spare int DEFAULT 1" }, 'a function has more arguments');
$old =~ s/(FUNCTION async_wait\(bigint, interval)\)/$1, int)/g;
$old =~ s/async_wait\(bigint, interval\)/async_wait(bigint, interval, int)/g;
change(qr/(CREATE FUNCTION aside\.is_preloaded\(\) RETURNS boolean\s+LANGUAGE c) VOLATILE/, sub { "$1 STABLE" }, 'a function has another volatility');
change(qr/CREATE VIEW aside\.stat AS/, "CREATE VIEW aside.stat AS SELECT 1 AS one;\nCREATE VIEW aside.stat_before AS", 'a view has other columns');
$old =~ s/COMMENT ON COLUMN aside\.stat\..*?';//gs;
change(qr/aside\.event_control \(partition int NOT NULL\)/, 'aside.event_control (partition smallint NOT NULL)', 'a column has another type');
change(qr/COMMENT ON TABLE aside\.event_control IS '/, "COMMENT ON TABLE aside.event_control IS 'once ", 'a comment has other words');
change(qr/COMMENT ON COLUMN aside\.event\.channel IS.*?';/s, "COMMENT ON TYPE aside.event IS 'old';", 'a comment is not there yet');
change(qr/(CREATE (?:UNIQUE )?INDEX \w+ ON aside\.schedule\w* \()/, sub { "$1(1), " }, 'an index is another');
change(qr/(?=DO \$close\$)/, q{
	CREATE TABLE aside.has_gone (n int);
	COMMENT ON TABLE aside.has_gone IS 'a table';
	CREATE FUNCTION aside.has_gone() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;
	COMMENT ON FUNCTION aside.has_gone() IS 'a function';
	CREATE VIEW aside.shows_what_has_gone AS SELECT aside.has_gone();
	GRANT SELECT ON aside.event_control TO aside_user;
	GRANT SELECT ON aside.shows_what_has_gone TO aside_user;
	}, 'something is there no more');
put("$dir/pg_aside--0.0.1.sql", $old);
put("$dir/by_hand", "-- Role: what the tables' rows go through.\n-- by hand: C function aside_async_wait\n-- It reads two arguments of three.\n"
	  . "-- by hand: table aside.event_control\nALTER TABLE aside.event_control ALTER COLUMN partition TYPE int;\n");
my @files = ("$dir/pg_aside--0.0.1.sql", "$dir/pg_aside--$now.sql", "$dir/by_hand");
my ($tool) = grep { -x } map { "$FindBin::RealBin/../$_" } 'upgrade-sql', '../scripts/upgrade-sql';
command_fails([ $tool, '--check', @files[0, 1], '/nonexistent' ], 'what is to be written by hand is asked for');
command_ok([ $tool, '--check', @files ], 'and found where it is');
my ($upgrade, $err) = run_command([ $tool, @files ]);
put("$dir/pg_aside--0.0.1--$now.sql", $upgrade);

$node->safe_psql('postgres', "CREATE DATABASE $_") for ('fresh', 'upgraded');
$node->safe_psql('fresh', 'CREATE EXTENSION pg_aside');
$node->safe_psql('upgraded', q{
	CREATE EXTENSION pg_aside VERSION '0.0.1';
	CREATE TABLE told (what text);
	CREATE FUNCTION handle(what text) RETURNS void LANGUAGE sql AS 'INSERT INTO told VALUES (what)';
	SELECT async_event_on('a', 'handle(text)');
	SELECT async_event_pause('a');
	SELECT async_event_emit('a', '"before"');
	SELECT schedule_set('s', 'every 1 hour', $$INSERT INTO told VALUES ('by the clock')$$);
	CREATE VIEW uses_it AS SELECT autonomous_exec('SELECT 1')});
my $before = catalog($node, 'upgraded');
my $fresh = catalog($node, 'fresh');
isnt($before, $fresh, 'the two versions differ');
$node->safe_psql('upgraded', 'ALTER EXTENSION pg_aside UPDATE');
is($node->safe_psql('upgraded', 'SELECT extversion FROM pg_extension WHERE extname = $$pg_aside$$'), $now, 'the version is the newer one');
my %have = map { ($_ => 1) } split /\n/, catalog($node, 'upgraded');
my %want = map { ($_ => 1) } split /\n/, $fresh;
is(join("\n", sort grep { !$have{$_} } keys %want), '', 'an upgraded catalog has all that a fresh one has');
is(join("\n", sort grep { !$want{$_} } keys %have), '', 'and nothing else');

my $s = session($node, db => 'upgraded');
is($s->value(q{SELECT async_event_resume('a')}), 't', 'a handler that was paused before goes on');
ok($s->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'before')}, 60), 'and gets the event that was emitted before');
$s->value(q{SELECT schedule_run_now('s')});
ok($s->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'by the clock')}, 60), 'a schedule runs');
$s->quit;
my ($rc, $out, $stderr) = $node->psql('upgraded', q{ALTER EXTENSION pg_aside UPDATE TO '0.0.1'});
like($stderr, qr/has no update path from version "\Q$now\E" to version "0\.0\.1"/, 'a downgrade is refused');
unlink glob("$dir/pg_aside--0.0.1*"), "$dir/by_hand";
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:/, 'the log complains of nothing');
done_testing();
