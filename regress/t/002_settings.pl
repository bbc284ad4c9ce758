# Claim: a pooled worker sees the settings its caller sees: reloaded files reach
# it, and ALTER ROLE, ALTER DATABASE and connection options count as of the
# caller's login, not of the worker's.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $node = aside_node('settings', conf => "aside.max_workers = 1\napp.tag = 'file one'\n");
$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN; GRANT aside_user TO app;
	CREATE FUNCTION seen(name text) RETURNS text LANGUAGE sql AS
		$$SELECT v FROM autonomous_query('SELECT current_setting($1, true)', name) AS q(v text)$$;
});
my $mon = session($node);

sub seen { my ($s, $name) = @_; return $s->value("SELECT seen('$name')"); }

# ---- files

my $s      = session($node);
my $worker = worker_pid($s);
is(seen($s, 'app.tag'), 'file one', 'a setting of the file');
$node->adjust_conf('postgresql.conf', 'app.tag', "'file two'");
$node->append_conf('postgresql.conf', "authentication_timeout = '33s'\n");
$node->reload;
ok($s->until(q{SELECT seen('authentication_timeout') = '33s'}, 10),
	'a reload reaches an idle worker');
ok($s->until(q{SELECT seen('app.tag') = 'file two'}, 10), 'for custom settings as well');
is(worker_pid($s), $worker, 'without a new worker');

$s->send(q{SELECT autonomous_exec('SELECT pg_sleep(600) /* reload me */')});
busy_worker($mon, 'reload me');
$node->adjust_conf('postgresql.conf', 'app.tag', "'file three'");
$node->reload;
$mon->until(q{SELECT current_setting('app.tag') = 'file three'});
$mon->run("SELECT pg_cancel_backend(@{[$s->pid]})");
$s->wait;
ok($s->until(q{SELECT seen('app.tag') = 'file three'}, 10), 'a reload reaches a busy worker in the end');

# A value the caller set itself outranks the file, there as here.
$s->value(q{SET app.tag = 'session'});
is(seen($s, 'app.tag'), 'session', 'a session setting outranks the file');
$s->value('RESET app.tag');
is(seen($s, 'app.tag'), 'file three', 'and RESET returns to it');
$s->quit;

# ---- roles and databases: the worker of 'app' is born under the first values

my $show = sub { my ($x) = @_; return join ' ', map { seen($x, $_) } 'work_mem', 'app.role', 'app.db'; };
my @set = (
	q{ALTER ROLE app SET work_mem = '%dMB'},
	q{ALTER ROLE app SET app.role = 'role %d'},
	q{ALTER DATABASE postgres SET app.db = 'db %d'},
);
my @login;
for my $i (1 .. 3)
{
	$mon->value(sprintf $_, $i) for @set;
	push @login, session($node, user => 'app');
	is($show->($login[-1]), "${i}MB role $i db $i", "login $i sees its own values");
}
$worker = worker_pid($login[0]);
for my $i (2, 1, 3, 1)
{
	is($show->($login[ $i - 1 ]), "${i}MB role $i db $i", "login $i still does");
	is(worker_pid($login[ $i - 1 ]), $worker, 'through one and the same worker');
}
$mon->run("SELECT pg_terminate_backend($worker)");
$mon->until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $worker)");
is($show->($login[0]), '1MB role 1 db 1', 'an old login does through a worker younger than it');

$mon->value($_) for 'ALTER ROLE app RESET ALL', 'ALTER DATABASE postgres RESET ALL';
my $default = $mon->value('SHOW work_mem');
my $plain   = session($node, user => 'app');
is($show->($plain), "$default  ", 'withdrawn values are gone for a new login');
is($show->($login[1]), '2MB role 2 db 2', 'and stay for an old one');
$mon->value(q{ALTER ROLE app IN DATABASE postgres SET work_mem = '9MB'});
my $both = session($node, user => 'app');
is(seen($both, 'work_mem'), '9MB', 'ALTER ROLE ... IN DATABASE');
my $options = session($node, user => 'app', options => '-c work_mem=11MB -c app.role=options');
is(seen($options, 'work_mem'), '11MB', 'connection options');
is(seen($options, 'app.role'), 'options', 'custom ones too');
is(seen($both, 'work_mem'), '9MB', 'which do not stay behind');

finish_all(@login, $plain, $both, $options, $mon);
$node->stop;
done_testing();
