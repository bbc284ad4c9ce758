# Claim: a job that finds the disk full waits, blames no chunk for it, and goes on by itself when there is room.
# The disk is a small one in memory, mounted in a namespace of the server's own; where the system does not allow that, nothing is tested.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = aside_node('full');
my $disk = $node->basedir . '/disk';
mkdir $disk or die "mkdir $disk: $!";
my $mount = "mount -t tmpfs -o size=8m,mode=0777 none '$disk'";
my ($user, $group) = ($>, (split ' ', $))[0]);
my $as_before = "unshare --user --map-user=$user --map-group=$group";
if ($^O ne 'linux' || system("unshare --user --map-root-user --mount sh -c \"$mount && $as_before true\" >/dev/null 2>&1") != 0)
{
	$node->stop('fast');
	plan skip_all => 'this system does not let a user mount a disk of his own in a namespace';
}
$node->stop('fast');
my $start = 'pg_ctl -w -D ' . $node->data_dir . ' -l ' . $node->logfile . ' start';
is(system(qq{unshare --user --map-root-user --mount sh -c "$mount && exec $as_before $start" >/dev/null}), 0, 'a server starts that has a small disk');
$node->_update_pid(1);

my $mon = session($node);
$mon->run("CREATE TABLESPACE small LOCATION '$disk'");
$mon->run($_) for split /;;/, <<'SQL';
CREATE TABLE work (id int PRIMARY KEY);;
INSERT INTO work SELECT g FROM generate_series(1, 4000) g;;
CREATE TABLE filler (what text) TABLESPACE small;;
ALTER TABLE filler ALTER what SET STORAGE PLAIN;;
INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, 700);;
CREATE TABLE copied (id int, what text) TABLESPACE small;;
SELECT parallel_start('copies', 'INSERT INTO copied SELECT id, repeat(''x'', 1000) FROM work WHERE id BETWEEN $1 AND $2', 'work', chunk_rows => 200, max_attempts => 1)
SQL
my $of = "FROM aside.parallel_chunks WHERE job = 'copies'";
ok($mon->until("SELECT count(*) FILTER (WHERE sqlstate = '53100' AND attempt > 1) > 0 $of"), 'chunks fail because the disk is full, and are tried again');
is($mon->value(q{SELECT state FROM aside.parallel_jobs WHERE name = 'copies'}), 'running', 'the job goes on');
is($mon->value("SELECT count(*) FILTER (WHERE state IN ('failed', 'split')) $of"), 0, 'no chunk is blamed');
$mon->run('DROP TABLE filler');
ok($mon->until(q{SELECT state = 'done' FROM aside.parallel_jobs WHERE name = 'copies'}, 60), 'when there is room, it goes on by itself');
is($mon->value('SELECT count(*) || $$ $$ || count(DISTINCT id) FROM copied'), '4000 4000', 'each row is copied once');
is($mon->value("SELECT count(*) FILTER (WHERE state <> 'done') $of"), 0, 'by the chunks that were cut at first');
finish_all($mon);
$node->stop('fast');
done_testing();
