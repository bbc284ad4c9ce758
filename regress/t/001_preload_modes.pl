# Claims: preloaded, one pool serves every session; otherwise each session has
# workers of its own and takes them with it; the extension may be dropped and
# created again under living workers; session_preload_libraries hold in workers.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $role_setup = q{
	CREATE ROLE guarded LOGIN;
	GRANT aside_user TO guarded;
	ALTER ROLE guarded SET session_preload_libraries = 'auto_explain';
};
# pg_settings hides placeholders: a row means the library itself is loaded.
my $guard_loaded = q{SELECT n FROM autonomous_query(
	$$SELECT count(*) FROM pg_settings WHERE name = 'auto_explain.log_min_duration'$$)
	AS q(n bigint)};

# ---- preloaded

my $node = aside_node('preloaded', conf => "aside.max_workers = 4\n");
$node->safe_psql('postgres', $role_setup);
my ($mon, $one, $two) = map { session($node) } 1 .. 3;

my $worker = worker_pid($one);
isnt($worker, $one->pid, 'the command runs in another process');
is(worker_pid($two), $worker, 'an idle worker serves the next session of its user');

$one->send(q{SELECT autonomous_exec('SELECT pg_sleep(600) /* one pool */')});
is(busy_worker($mon, 'one pool'), $worker, 'and the first again');
isnt(worker_pid($two), $worker, 'a busy worker is left to its caller');
$mon->run("SELECT pg_cancel_backend(@{[$one->pid]})");
$one->wait;

finish_all($one, $two);
$mon->until(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'});
is($mon->value("SELECT count(*) FROM pg_stat_activity WHERE pid = $worker"),
	1, 'the shared worker outlives the sessions it served');
is($mon->value("SELECT count(*) FROM aside.workers WHERE pid = $worker"),
	1, 'aside.workers shows it to everyone');
is( $mon->value("SELECT backend_type FROM pg_stat_activity WHERE pid = $worker"),
	'pg_aside worker', 'under its own backend type');

my $c = session($node);
worker_pid($c);
$mon->value('DROP EXTENSION pg_aside');
is($c->run('SELECT autonomous_exec($$SELECT 1$$)')->{sqlstate},
	'42883', 'the dropped extension is gone from living sessions');
$mon->value('CREATE EXTENSION pg_aside');
ok($c->run('SELECT autonomous_exec($$SELECT 1$$)')->{ok},
	'created again, it works with the workers that lived on');
ok($c->run('SELECT autonomous_exec($$DROP EXTENSION pg_aside$$)')->{ok},
	'an autonomous call may drop the extension it came through');
$mon->value('CREATE EXTENSION pg_aside');
$c->send(q{SELECT autonomous_exec('INSERT INTO t SELECT $$dropped$$ FROM pg_sleep(1)')});
busy_worker($mon, 'dropped');
$mon->value('DROP EXTENSION pg_aside; CREATE EXTENSION pg_aside');
ok($c->wait->{ok}, 'a call under way survives DROP EXTENSION');
is($mon->value(q{SELECT count(*) FROM t WHERE tag = 'dropped'}), 1, 'and commits');

my $g = session($node, user => 'guarded');
is($g->value($guard_loaded), 1, "the role's session_preload_libraries are loaded in its worker");
is($c->value($guard_loaded), 0, "and not in another role's");
finish_all($c, $g, $mon);
$node->stop;

# ---- not preloaded

$node = aside_node('private', preload => 0);
$node->safe_psql('postgres', $role_setup);
($mon, $one, $two) = map { session($node) } 1 .. 3;

is($one->value(q{SELECT autonomous_exec('INSERT INTO t VALUES ($1, $2)', 'private', 1)}),
	1, 'CREATE EXTENSION alone is enough');
$worker = worker_pid($one);
is(worker_pid($one), $worker, 'a session keeps its private worker between calls');
my $other = worker_pid($two);
isnt($other, $worker, 'and shares it with nobody');
is($one->value("SELECT count(*) FROM aside.workers WHERE pid = $worker"),
	1, 'aside.workers shows a session its own worker');

my $gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %d)";
$one->quit;
ok($mon->until(sprintf $gone, $worker), 'a session that ends takes its worker with it');
$mon->run("SELECT pg_terminate_backend(@{[$two->pid]})");
ok($mon->until(sprintf $gone, $other), 'so does one that is terminated');
$two->quit;

$one      = session($node);
$worker = worker_pid($one);
$one->kill_client;
ok($mon->until(sprintf $gone, $worker), 'and one whose client vanished');

$one = session($node);
is($one->value(q{LOAD 'pg_aside'; SHOW aside.max_workers}),
	8, 'LOAD by hand brings the settings');
ok($one->run('SELECT autonomous_exec($$SELECT 1$$)')->{ok}, 'and calls work after it');
ok($one->run(q{SELECT autonomous_exec($$LOAD 'pg_aside'$$)})->{ok},
	'LOAD works in a worker too');

$worker = worker_pid($one);
$mon->value('DROP EXTENSION pg_aside; CREATE EXTENSION pg_aside');
ok($one->run('SELECT autonomous_exec($$SELECT 1$$)')->{ok},
	'DROP and CREATE EXTENSION under a private worker');

$g = session($node, user => 'guarded');
is($g->value($guard_loaded), 1, "session_preload_libraries hold in private workers");
$mon->value(q{ALTER ROLE guarded SET session_preload_libraries = 'pg_aside'});
$g->quit;
$g = session($node, user => 'guarded');
is($g->value('SHOW aside.max_workers'), 8, 'the module may be a session_preload_library itself');
ok($g->run('SELECT autonomous_exec($$SELECT 1$$)')->{ok}, 'with private workers');

finish_all($one, $g, $mon);
$node->stop;
done_testing();
