# Claim: where the caller waits for the commit of its call, the worker serves
# the next call meanwhile, and still nobody is told of a commit that a crash can
# undo, or that is not yet on the standbys that it is to be on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

# The log is written when somebody waits for it, and by nobody else.
my $node = aside_node('commits', conf => "aside.max_workers = 1
	wal_writer_delay = '10s'
	wal_writer_flush_after = 0
	autovacuum = off
	max_wal_senders = 2
	wal_level = replica\n");
my ($s, $mon) = (session($node), session($node));
$s->value('SET aside.commit_wait = caller');

$node->safe_psql('postgres', q{
	CREATE FUNCTION put(what text) RETURNS void LANGUAGE plpgsql_autonomous AS
		$$BEGIN INSERT INTO t VALUES (what); END$$;
	CREATE FUNCTION nothing_more() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN IF new.tag LIKE '%refused' THEN RAISE 'refused'; END IF; RETURN NULL; END$$;
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION nothing_more();
});
$s->value(q{SELECT put('routine')});
$s->value(q{SELECT autonomous_exec($$SET LOCAL synchronous_commit = local; INSERT INTO t VALUES ('local')$$)});
is($s->run(q{SELECT autonomous_exec($$INSERT INTO t VALUES ('refused')$$)})->{sqlstate}, 'P0001',
	'an error of the last moment');
is($s->value(q{SELECT v FROM autonomous_query($$SELECT current_setting('synchronous_commit')$$) AS q(v text)}),
	'on', 'the worker has its setting back');
is($s->value(q{SELECT autonomous_exec($$INSERT INTO t VALUES ('last')$$)}), 1, 'a call returns');
$node->stop('immediate');
$node->start;
finish_all($s, $mon);
is($node->safe_psql('postgres', q{SELECT string_agg(tag, ' ' ORDER BY tag) FROM t}), 'last local routine',
	'and what had returned outlives a crash');

# ---- a standby that never comes

$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'\nsynchronous_commit = local\n");
$node->reload;
($s, $mon) = (session($node), session($node));
$mon->until(q{SELECT current_setting('synchronous_standby_names') = 'nobody'});
$s->value('SET aside.commit_wait = caller');
$s->value('SET synchronous_commit = on');
$s->send(q{SELECT autonomous_exec($$INSERT INTO t VALUES ('replicated')$$)});
my $pid = $s->pid;
ok($mon->until("SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $pid", 30),
	'the caller waits for the standby');
is($mon->value(q{SELECT count(*) FROM t WHERE tag = 'replicated'}), 1, 'others see what it has committed');
is($mon->value(q{SELECT autonomous_exec($$INSERT INTO t VALUES ('other')$$)}), 1,
	'the only worker serves others meanwhile');
$mon->value("SELECT pg_cancel_backend($pid)");
my $r = $s->wait(30);
is($r->{out}, 1, 'a cancel ends the wait, and not the call');
like($r->{err}, qr/canceling wait for synchronous replication due to user request.*already committed locally/s,
	'as the server says of its own commits');
$s->send(q{SELECT autonomous_exec($$INSERT INTO t VALUES ('ended')$$)});
$mon->until("SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $pid", 30);
$mon->value("SELECT pg_terminate_backend($pid)");
ok($s->wait(30)->{gone}, 'its end ends the wait');
is($mon->value(q{SELECT count(*) FROM t WHERE tag = 'ended'}), 1, 'and not the commit');
$mon->quit;
$node->stop;
done_testing();
