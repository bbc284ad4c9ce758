# Claim: DROP DATABASE, RENAME, CREATE DATABASE TEMPLATE and SET TABLESPACE do not
# trip over our idle workers, and leave calls under way alone.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $one = 'SELECT autonomous_exec($$SELECT 1$$)';

for my $mode ('preloaded', 'private')
{
	my $node = aside_node($mode, preload => $mode eq 'preloaded',
		conf => "allow_in_place_tablespaces = on\n");
	$node->safe_psql('postgres', q{CREATE TABLESPACE elsewhere LOCATION ''});
	my $mon = session($node);

	# A session that used autonomous calls in the database and is gone.
	my $visit = sub {
		my ($db) = @_;
		my $s = session($node, db => $db);
		is($s->run($one)->{out}, 1, "$mode: a call in $db");
		my $pid = $s->pid;
		$s->quit;
		$mon->until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	};
	my $at_once = sub {
		my ($sql) = @_;
		my $r = $mon->run($sql);
		ok($r->{ok} && $r->{secs} < 3, "$mode: $sql at once")
		  or diag("$r->{secs} s: $r->{err}");
	};

	$mon->value('CREATE DATABASE one');
	my $s = session($node, db => 'one');
	$s->value('CREATE EXTENSION pg_aside; CREATE TABLE t (tag text)');
	$s->quit;
	$visit->('one');
	$at_once->('ALTER DATABASE one RENAME TO two');
	$visit->('two');
	$at_once->('CREATE DATABASE copy TEMPLATE two');
	$visit->('two');
	$at_once->('ALTER DATABASE two SET TABLESPACE elsewhere');
	$visit->('two');
	$visit->('copy');
	$at_once->('DROP DATABASE copy');
	$visit->('two');
	$at_once->('DROP DATABASE two');
	$mon->value('CREATE DATABASE two');
	$s = session($node, db => 'two');
	is($s->run($one)->{sqlstate}, '42883', "$mode: a new database of an old name is another database");
	$s->quit;

	# A call under way is its session's business: refused as ever, nothing is harmed.
	$s = session($node, db => 'two');
	$s->value('CREATE EXTENSION pg_aside; CREATE TABLE t (tag text)');
	$s->send(q{SELECT autonomous_exec('INSERT INTO t SELECT $1 FROM pg_sleep(600) /* under way */
		', 'x')});
	my $worker = busy_worker($mon, 'under way');
	# (The server takes its five seconds to refuse: once is enough.)
	is($mon->run('DROP DATABASE two')->{sqlstate}, '55006',
		"$mode: DROP DATABASE under a busy session is refused")
	  if $mode eq 'preloaded';
	is($mon->value("SELECT count(*) FROM pg_stat_activity WHERE pid = $worker AND wait_event = 'PgSleep'"),
		1, "$mode: and its call goes on");
	$at_once->('DROP DATABASE two WITH (FORCE)');
	ended_well($s->wait, '57P01', "$mode: FORCE ends the session");
	ok($mon->until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $worker)"),
		"$mode: and its worker");
	$s->quit;
	finish_all($mon);
	$node->stop;
}
done_testing();
